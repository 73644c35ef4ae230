"""The supervisor of destinations on a running pipeline with three targets, rung by rung."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import jsonschema
import psycopg
import pytest
import yaml
from click.testing import CliRunner

from devstack import AnyStack, Endpoints
from sagas import log
from supervision import proposals
from tailrace import schema
from tailrace.cli import app
from tailrace.config import load
from tailrace.decisions import Desk
from tailrace.exits import Problem
from tailrace.harness.cdc import Cdc
from tailrace.harness.databases import Databases
from tailrace.harness.waits import eventually
from tailrace.passed import await_passed
from tailrace.schemas import OUTPUTS
from tailrace.schemas import schema as schema_of
from tailrace.sweeps import sweep

ROWS = 200
DDL = """
CREATE TABLE t (id int PRIMARY KEY, note text, n int NOT NULL DEFAULT 0);
INSERT INTO t SELECT i, 'note ' || i FROM generate_series(1, 200) i;
"""
SINKS = ("mirror", "second", "third")
BY_HAND = (
    "UPDATE t SET note = 'by hand' WHERE id IN (11, 12)",
    "DELETE FROM t WHERE id IN (21, 22)",
    "INSERT INTO t (id, note) VALUES (9001, 'by hand'), (9002, 'by hand')",
)


class Watched:
    """A pipeline of three mirrors, all of them running, and its commands."""

    def __init__(self, pipe: Cdc, new_target: Databases) -> None:
        self.pipe = pipe
        self._numbers = itertools.count(1)
        file = yaml.safe_load(pipe.file.read_text())
        for name in SINKS[1:]:
            file["sinks"][name] = {"type": "postgres", "dsn": new_target()}
        pipe.file.write_text(yaml.safe_dump(file))
        self.pipeline = load(pipe.file, env={})
        self.dsns = {name: sink.dsn for name, sink in self.pipeline.sinks.items()}
        self._make_tables()
        pipe.register()
        pipe.start_daemon()
        with self.beats():
            for name in SINKS:
                await_passed(self.pipeline, pipe.spec, name, 60)

    def _make_tables(self) -> None:
        options = "-c search_path=pg_catalog"
        for dsn in self.dsns.values():
            with (
                psycopg.connect(self.pipe.source_dsn, options=options) as source,
                psycopg.connect(dsn, options=options) as target,
            ):
                schema.apply(target, schema.plan(source, target, ["public.t"]))

    def subject(self, sink: str = "mirror") -> str:
        return f"destination:{self.pipeline.name}.{sink}"

    def sql(self, statement: str, sink: str = "mirror") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsns[sink]) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def spoil(self, sink: str = "mirror") -> None:
        for statement in BY_HAND:
            self.sql(statement, sink)

    def run(self, command: str, *words: str, code: int = 0) -> str:
        all_words = ["supervise", *command.split(), *words, "--config", str(self.pipe.file)]
        with self.beats() if command == "sweep" else nullcontext():
            done = CliRunner(mix_stderr=False).invoke(app, all_words)
        ended = done.exception if isinstance(done.exception, Problem) else None
        talk = str(ended) if ended else done.stderr
        assert (ended or done).exit_code == code, (command, words, done.stdout, talk, done.exc_info)
        return done.stdout + talk

    def said(self, command: str, *words: str, code: int = 0) -> Any:
        found = json.loads(self.run(command, *words, "--json", code=code).splitlines()[0])
        jsonschema.validate(found, schema_of(OUTPUTS[f"supervise {command}"]))
        return found

    def swept(self) -> dict[str, Any]:
        """By sink."""
        return {one["subject"].rpartition(".")[2]: one for one in self.said("sweep")}

    def put(self, rung: str, sink: str = "mirror") -> None:
        """On a rung whatever the evidence."""
        with psycopg.connect(self.dsns[sink]) as tx:
            proposals.create_schema(tx)
            proposals.standing(tx, self.subject(sink))
            tx.execute("DELETE FROM supervision.proposals")
            tx.execute("UPDATE supervision.rungs SET rung = %s, since = clock_timestamp()", [rung])

    def rung(self) -> str:
        return str(self.said("rung", self.subject())[0]["rung"])

    def lines(self, sink: str = "mirror") -> list[log.Row]:
        with psycopg.connect(self.dsns[sink]) as tx:
            assert list(log.verify(tx)) == []
            return list(log.rows(tx, self.subject(sink)))

    def kinds(self, since: int, sink: str = "mirror") -> list[str]:
        return [line.kind for line in self.lines(sink)[since:]]

    @contextmanager
    def beats(self) -> Iterator[None]:
        """More of them than the connector's own, which spares a sweep seconds."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.is_set():
                self.pipe.wait_captured()

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(beat)
            try:
                yield
            finally:
                stop.set()
                done.result()

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Somebody who changes all kinds of rows of the source, those that were spoilt, too."""
        stop, written = threading.Event(), threading.Event()

        def write() -> None:
            with psycopg.connect(self.pipe.source_dsn, autocommit=True) as source:
                while not stop.is_set():
                    i = next(self._numbers)
                    id_ = 30 + i * 7 % (ROWS - 30)
                    source.execute("UPDATE t SET n = n + 1 WHERE id = %s", [id_])
                    source.execute("INSERT INTO t VALUES (%s, 'new')", [10_000 + i])
                    source.execute("DELETE FROM t WHERE id = %s", [10_000 + i - 20])
                    written.set()
                    stop.wait(0.01)

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(write)
            written.wait()
            try:
                yield
            finally:
                stop.set()
                done.result()


@pytest.fixture(scope="module")
def watched(shared_cdc: Callable[..., Cdc], stack: AnyStack) -> Iterator[Watched]:
    targets = Databases(Endpoints.load(stack.folder).target)
    yield Watched(shared_cdc(DDL, ["public.t"], watch_effects=False), targets)
    targets.drop()


def test_drift_of_three_targets_is_mended_in_one_sweep_while_the_source_changes(
    watched: Watched,
) -> None:
    began = {}
    for sink in SINKS:
        watched.put("automatic", sink)
        began[sink] = len(watched.lines(sink))
    with watched.writer():
        for sink in SINKS:
            watched.spoil(sink)
        first = watched.swept()
        second = watched.swept()
    for sink in SINKS:
        one = first[sink]
        assert (one["differing"], one["mended"], one["failed"]) == (6, 6, 0), one
        assert watched.kinds(began[sink], sink) == ["proposed", "mended"] * 6
        assert second[sink]["differing"] == 0, second[sink]
    eventually(lambda: watched.pipe.command("verify").returncode == 0, 60, "all equal")
    told = {json.dumps(json.loads(line.body)["finding"]["key"]) for line in watched.lines()}
    assert told == {json.dumps({"id": str(id_)}) for id_ in (11, 12, 21, 22, 9001, 9002)}
    assert "by hand" not in "".join(line.body for line in watched.lines())
    assert watched.said("log verify", "--sink", "third")["ok"]


def test_changes_of_the_very_rows_while_they_are_mended_win(watched: Watched) -> None:
    """Rows are spoilt and mended while the source goes on writing them."""
    watched.put("automatic")
    with watched.writer():
        watched.sql("UPDATE t SET n = -1 WHERE id % 3 = 0")
        watched.sql("DELETE FROM t WHERE id % 5 = 0")
        watched.swept()
    watched.pipe.wait_applied()
    watched.swept()
    watched.pipe.wait_converged()


def test_at_manual_and_shadow_nothing_is_changed(watched: Watched) -> None:
    watched.put("manual")
    watched.spoil()
    before = watched.sql("SELECT * FROM t ORDER BY id")
    one = watched.swept()["mirror"]
    assert (one["differing"], one["proposed"], one["mended"]) == (6, 0, 0)
    assert {finding["kind"] for finding in one["listed"]} == {"changed", "missing", "extra"}
    watched.run("rung", watched.subject(), "shadow", "--reason", "to see what it would do")
    assert [watched.swept()["mirror"]["proposed"] for _ in range(2)] == [6, 0]
    assert watched.sql("SELECT * FROM t ORDER BY id") == before
    found = watched.said("proposals")
    assert len(found) == 6
    id_ = f"mirror/{found[0]['id']}"
    assert "is at shadow, where" in watched.run("approve", id_, "--reason", "x", code=1)
    climb(watched, found)


def climb(watched: Watched, found: list[Any]) -> None:
    """From shadow to automatic, by the evidence that it takes; and down by one that was wrong."""
    subject, ids = watched.subject(), [f"mirror/{one['id']}" for one in found]
    up = ("rung", subject, "approve", "--reason", "it knows what it does")
    for id_ in ids[:4]:
        assert watched.said("judge", id_, "right", "--reason", "so it is")["judgement"] == "right"
    assert "4 were right and 0 wrong" in watched.run(*up, code=1)
    assert "judged right before" in watched.run("judge", ids[0], "right", "--reason", "x", code=1)
    watched.run("judge", ids[4], "right", "--reason", "so it is")
    watched.run(*up)
    watched.said("sweep")
    found = watched.said("proposals", "--limit", "6")
    ids = [f"mirror/{one['id']}" for one in found if one["rung"] == "approve"]
    assert len(ids) == 6
    began = len(watched.lines())
    assert watched.said("reject", ids[5], "--reason", "let it be")["state"] == "rejected"
    for id_ in ids[:5]:
        assert watched.said("approve", id_, "--reason", "yes")["state"] == "done"
    assert "is done already, by " in watched.run("approve", ids[0], "--reason", "again")
    assert watched.kinds(began) == ["rejected"] + ["mended"] * 5
    up = ("rung", subject, "automatic", "--reason", "it works")
    assert "no green fault-injection run" in watched.run(*up, code=1)
    watched.run("evidence add", subject, "--reason", "the long chaos run was green")
    watched.run(*up)
    last = watched.lines()[-1]
    assert (last.kind, last.step, last.reason) == ("rung", "automatic", "it works")
    assert json.loads(last.body) == {"before": "approve", "after": "automatic"}
    watched.run("judge", ids[1], "wrong", "--reason", "it was meant to be so")
    assert watched.rung() == "approve"
    assert watched.lines()[-1].actor == proposals.ITSELF


def test_approved_by_two_at_once_it_is_done_once(watched: Watched) -> None:
    watched.put("approve")
    watched.sql("UPDATE t SET note = 'once' WHERE id = 12")
    watched.said("sweep")
    one = next(o for o in watched.said("proposals") if o["finding"]["key"] == {"id": "12"})
    began = len(watched.lines())

    def click(name: str) -> str:
        return Desk(watched.pipeline, name, "a click").approve(f"mirror/{one['id']}")[1]

    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND application_name = 'tailrace'"
    )
    with psycopg.connect(watched.dsns["mirror"]) as gate, ThreadPoolExecutor(2) as pool:
        gate.execute("SELECT FROM tailrace.offsets FOR UPDATE")
        clicks = [pool.submit(click, name) for name in ("ada", "bob")]
        eventually(lambda: len(watched.sql(waiting)) == 2, 30, "both are at it")
        gate.rollback()
        assert sorted(each.result() for each in clicks) == ["decided", "mended"]
    assert watched.kinds(began) == ["mended"]
    assert watched.sql("SELECT note FROM t WHERE id = 12") == [("note 12",)]


def test_what_the_target_refuses_fails_and_costs_a_rung(watched: Watched) -> None:
    watched.put("automatic")
    watched.sql("UPDATE t SET note = 'wrong' WHERE id = 13")
    watched.sql("ALTER TABLE t ADD CONSTRAINT polite CHECK (note <> 'note 13')")
    found = watched.swept()["mirror"]
    assert (found["failed"], found["rung"]) == (1, "approve")
    assert watched.rung() == "approve"
    assert watched.kinds(-2) == ["failed", "rung"]
    watched.sql("ALTER TABLE t DROP CONSTRAINT polite")
    watched.put("automatic")
    assert watched.swept()["mirror"]["mended"] > 0
    watched.pipe.wait_converged()


def test_a_sink_that_stands_still_is_not_judged(watched: Watched) -> None:
    """Its rows lack what it has not applied yet: that is lag, and nothing is touched."""
    with psycopg.connect(watched.dsns["mirror"]) as gate:
        gate.execute("SELECT FROM tailrace.offsets FOR UPDATE")
        watched.pipe.sql("UPDATE t SET note = 'soon' WHERE id = 14")
        (found, *_) = sweep(watched.pipeline, within_s=12)
        assert found.differing == found.mended == 0
        assert "within 12 s" in (found.problem or "")
    watched.pipe.wait_converged()


def test_it_runs_until_it_is_stopped(watched: Watched) -> None:
    watched.put("automatic")
    watched.sql("UPDATE t SET note = 'by hand' WHERE id = 15")
    words = ["supervise", "run", "--every", "1", "--config", str(watched.pipe.file)]
    running = subprocess.Popen([sys.executable, "-m", "tailrace", *words], stderr=subprocess.PIPE)
    try:
        eventually(lambda: watched.sql("SELECT 1 FROM t WHERE id = 15 AND note = 'note 15'"), 60)
    finally:
        running.terminate()
        _, said = running.communicate(timeout=60)
    assert running.returncode == 0
    assert b"swept" in said
