"""The log of actions, where a real server has the last word."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql

from devstack.process import free_ports
from tailrace import actions, asking
from tailrace.actions import Actor, Log
from tailrace.exits import TRY_AGAIN, Problem
from tailrace.harness.databases import Databases

ADA = Actor("ada", "cli")


@pytest.fixture
def log(new_database: Databases) -> Log:
    return Log(new_database(), 'odd "schema"')


def test_a_row_before_the_act_and_one_after_it(log: Log) -> None:
    assert log.recent() == []
    with log.logged(ADA, "pause", "connector shop", "for a test", {"deep": [1]}) as act:
        (under_way,) = log.recent()
        assert (under_way.id, under_way.outcome, under_way.ended_at) == (act.id, None, None)
        act.outcome = "paused"
    (entry,) = log.recent()
    assert (entry.actor, entry.via, entry.action) == ("ada", "cli", "pause")
    assert (entry.target, entry.reason, entry.detail) == (
        "connector shop",
        "for a test",
        {"deep": [1]},
    )
    assert entry.outcome == "paused"
    assert entry.ended_at is not None
    assert entry.ended_at > entry.at


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Problem("TR-XXX-001", "It rains."), "failed: It rains."),
        (ValueError("a password"), "failed: ValueError"),
        (KeyboardInterrupt(), "failed: interrupted"),
    ],
)
def test_a_failed_act_says_so_and_is_raised_again(
    log: Log, error: BaseException, outcome: str
) -> None:
    with pytest.raises(type(error)), log.logged(ADA, "try", "it"):
        raise error
    assert [entry.outcome for entry in log.recent()] == [outcome]


def test_what_cannot_be_logged_is_not_done(log: Log) -> None:
    nowhere = f"postgresql://postgres@127.0.0.1:{free_ports(1)[0]}/x"
    done: list[Any] = []
    with (
        pytest.raises(Problem, match=r"Nothing was done.*TR-ACT-001") as away,
        Log(nowhere, "tailrace").logged(ADA, "try", "it"),
    ):
        done.append(1)
    assert (away.value.exit_code, done) == (75, [])
    with psycopg.connect(log.dsn) as connection:
        name = sql.Identifier(connection.info.dbname)
        read_only = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
        connection.execute(read_only.format(name))
    with (
        pytest.raises(Problem, match=r"Nothing was done.*read-only.*TR-ACT-001"),
        log.logged(ADA, "try", "it"),
    ):
        done.append(1)
    assert done == []


def test_an_outcome_that_is_lost_is_told(log: Log) -> None:
    with (
        pytest.raises(Problem, match=r"It was done \(done\), but .*TR-ACT-002"),
        log.logged(ADA, "drop", "the log"),
        psycopg.connect(log.dsn) as connection,
    ):
        connection.execute('DROP TABLE "odd ""schema""".actions')


@pytest.mark.parametrize("replicates", [False, True])
@pytest.mark.parametrize("act", ["UPDATE {} SET reason = ''", "DELETE FROM {}", "TRUNCATE {}"])
def test_rows_are_final(log: Log, act: str, replicates: bool) -> None:
    log.begin(ADA, "try", "it", "", None)
    with psycopg.connect(log.dsn) as connection:
        if replicates:
            connection.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(act.format('"odd ""schema""".actions').encode())


def test_the_table_is_made_once_by_many(log: Log) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: log.begin(ADA, "try", str(n), "", None), range(16)))
    assert len(set(made)) == 16
    assert len(log.recent(10)) == 10


def test_a_locked_log_holds_nobody_up(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that waited for the lock would wait as long as its holder likes."""
    monkeypatch.setattr(asking, "ANSWER_WITHIN_S", 1)
    monkeypatch.setattr(actions, "PATIENCE", "SET LOCAL statement_timeout = '1s'")
    with log.logged(ADA, "pause", "connector shop"):
        pass
    with psycopg.connect(log.dsn) as other:
        table = sql.Identifier(log.schema, "actions")
        other.execute(sql.SQL("LOCK TABLE {}").format(table))
        with pytest.raises(Problem, match="TR-ACT-003") as refused:
            log.recent()
        assert refused.value.exit_code == TRY_AGAIN
        with pytest.raises(Problem, match="Nothing was done, because"):
            log.begin(ADA, "pause", "connector shop", "", None)
