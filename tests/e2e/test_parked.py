"""Parked work on a running pipeline: what was refused is found, mended, redriven or discarded."""

import json
from collections.abc import Callable
from typing import Any

import kafka
import psycopg
import pytest
from click.testing import CliRunner
from kafka.admin import NewTopic

from consumer.deadletter import KafkaDeadLetters
from consumer.event import DeadLetter
from consumer.records import record_of
from devstack.process import free_ports
from tailrace.actions import Actor, log_of
from tailrace.cli import app
from tailrace.exits import Problem
from tailrace.harness.cdc import Cdc
from tailrace.harness.topics import produce, records
from tailrace.harness.waits import eventually
from tailrace.parked import decide, letters
from tailrace.parked.choice import choose
from tailrace.parked.letter import SHOWN_BYTES, parked
from tailrace.wiring import dead_letter_topic

DDL = """
CREATE TABLE t (id int PRIMARY KEY, note text, n int NOT NULL DEFAULT 0);
ALTER TABLE t ALTER note SET STORAGE EXTERNAL;
INSERT INTO t VALUES (1, 'first'), (6, repeat('kind ', 2000));
"""
RULE = "ALTER TABLE public.t ADD CONSTRAINT polite CHECK (note NOT LIKE '%rude%' AND n >= 0)"
SCRIPT = "<script>alert('rude')</script>\x1b[31m"
ME = Actor("ada", "dashboard")


def ran(pipe: Cdc, *words: str) -> tuple[int, str, str]:
    """`tailrace WORDS` in this process, which spares seconds a call: code, data and talk."""
    done = CliRunner(mix_stderr=False).invoke(app, [*words, "--config", str(pipe.file)])
    if isinstance(done.exception, Problem):
        return done.exception.exit_code, done.stdout, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.stdout, done.stderr


def said(pipe: Cdc, *words: str, code: int = 0) -> Any:
    """What `tailrace WORDS --json` says."""
    found, data, talk = ran(pipe, *words, "--json")
    assert found == code, talk
    return json.loads(data)


def refused(pipe: Cdc, *words: str, code: int = 1) -> str:
    """The one sentence that `tailrace WORDS` ends with."""
    found, _, talk = ran(pipe, *words)
    assert found == code, talk
    assert len(talk.splitlines()) == 1, talk
    return talk


def wait_parked(pipe: Cdc, count: int) -> None:
    eventually(lambda: letters.open_count(pipe.pipeline, pipe.SINK) == count, 60, f"{count} parked")


@pytest.fixture
def live(cdc: Callable[..., Cdc]) -> Cdc:
    """
    Parked in this order: 2, overtaken 3, script 4, 2 MB 5, a record that is no change, and two
    changes of 6, of which the second leaves out the large value that the first one brings.
    """
    made = cdc(DDL, ["public.t"])
    made.register()
    made.sink.sql("DROP TABLE tailrace.parked")  # as in a target that was made before there was one
    assert said(made, "parked", "list") == {"sinks": [EMPTY]}
    made.start()
    made.wait_converged()
    made.sink.sql(RULE)
    made.sql("INSERT INTO t VALUES (2, 'rude')")
    made.sql("INSERT INTO t VALUES (3, 'rude')")
    wait_parked(made, 2)
    made.sql("UPDATE t SET note = 'kind' WHERE id = 3")
    made.sql("INSERT INTO t VALUES (4, %s)", SCRIPT)
    made.sql("INSERT INTO t VALUES (5, repeat('rude ', 400000))")
    wait_parked(made, 4)
    produce(made.brokers, made.topic("public.t"), [(0, b"k", b'{"op":"c", garbage')])
    wait_parked(made, 5)
    made.sql("UPDATE t SET note = repeat('rude ', 2000) WHERE id = 6")
    wait_parked(made, 6)
    made.sql("UPDATE t SET n = -1 WHERE id = 6")
    wait_parked(made, 7)
    return made


EMPTY = {"sink": "mirror", "records": 0, "open_records": 0, "letters": [], "next_after": None}


def test_parked_work_from_refusal_to_decision(live: Cdc) -> None:
    look_at_it(live)
    try_in_vain(live)
    live.sink.sql("ALTER TABLE public.t DROP CONSTRAINT polite")
    redrive_it(live)
    discard_the_rest(live)
    live.wait_converged()
    assert ran(live, "verify")[0] == 0
    look_at_the_actions(live)


def look_at_it(live: Cdc) -> None:
    (page,) = said(live, "parked", "list")["sinks"]
    found = page["letters"]
    assert [each["number"] for each in found] == list(range(7))
    first, _, script, huge, garbage, _, partial = found
    assert (first["table"], first["op"], first["key"]) == ("public.t", "c", '{"id":2}')
    assert json.loads(first["after"]) == {"id": 2, "note": "rude", "n": 0}
    assert "constraint polite" in first["reason"]
    assert first["offset"] == 2
    assert len(first["event_id"]) == 32
    assert json.loads(script["after"])["note"] == SCRIPT
    assert len(huge["after"]) < SHOWN_BYTES + 100
    assert huge["after"].endswith("bytes)")
    assert garbage["value"] == '{"op":"c", garbage'
    assert garbage["unreadable"]
    assert live.pipeline.source.placeholder in partial["after"]
    (page,) = said(live, "parked", "list", "--after", "0", "--limit", "2")["sinks"]
    assert [each["number"] for each in page["letters"]] == [1, 2]
    assert page["next_after"] == 2

    groups = said(live, "parked", "list", "--group")["groups"]
    assert [(each["count"], each["table"]) for each in groups] == [(6, "public.t"), (1, None)]
    _, shown, _ = ran(live, "parked", "show", live.SINK, "2")
    assert "<script>" in shown
    assert "\x1b" not in shown
    assert "no letter 99: " in refused(live, "parked", "show", live.SINK, "99")
    assert "There is no sink x" in refused(live, "parked", "show", "x", "1", code=2)

    park_again(live, 0)
    (page,) = said(live, "parked", "list")["sinks"]
    assert [each["number"] for each in page["letters"]] == list(range(7))
    assert page["letters"][0]["repeats"] == 1
    assert page["open_records"] == 8


def park_again(live: Cdc, number: int) -> None:
    """As a worker does that died before its offsets moved."""
    topic = dead_letter_topic(live.pipeline, live.SINK)
    stored = parked(record_of(records(live.brokers, topic)[number]))
    drawer = KafkaDeadLetters(topic, live.SINK, live.brokers.client())
    drawer.put([DeadLetter(stored.record, stored.reason, stored.table, stored.position)])
    drawer.close()


def try_in_vain(live: Cdc) -> None:
    tried = said(live, "parked", "redrive", live.SINK, "0", "1", "--dry-run", code=1)
    assert [fate["outcome"] for fate in tried["fates"]] == ["refused", "stale"]
    assert "constraint polite" in tried["fates"][0]["reason"]
    assert tried["dry_run"] is True
    assert "say --yes" in refused(live, "parked", "redrive", live.SINK, "0", code=2)
    told = refused(live, "parked", "redrive", live.SINK, "0", "99", "--yes")
    assert "99 (there is none)" in told
    assert "Say which letters" in refused(live, "parked", "redrive", live.SINK, code=2)
    assert live.sink.query("SELECT to_regclass('tailrace.parked')") == [(None,)]
    assert "CREATE TABLE IF NOT EXISTS tailrace.parked" in ran(live, "schema", "plan")[1]
    assert said(live, "actions") == {"actions": []}


def redrive_it(live: Cdc) -> None:
    tried = said(live, "parked", "redrive", live.SINK, "--all", "--dry-run", code=1)
    outcomes = ["written", "stale", "written", "written", "refused", "written", "written"]
    assert [fate["outcome"] for fate in tried["fates"]] == outcomes
    assert live.sink.query("SELECT id FROM t ORDER BY id") == [(1,), (3,), (6,)]

    meanwhile = choose(live.pipeline, live.SINK, numbers=[0])
    offsets = live.sink.query("SELECT next_offset, epoch FROM tailrace.offsets")
    done = said(live, "parked", "redrive", live.SINK, "0", "--yes", "--reason", "rule dropped")
    assert [fate["outcome"] for fate in done["fates"]] == ["written"]
    assert live.sink.query("SELECT note FROM t WHERE id = 2") == [("rude",)]
    assert letters.open_count(live.pipeline, live.SINK) == 6  # the repeat went with it
    late = decide.redrive(live.pipeline, live.spec, meanwhile, ME, dry_run=True)
    assert [fate.outcome for fate in late.fates] == ["taken"]

    done = said(live, "parked", "redrive", live.SINK, "1", "--yes")
    assert [fate["outcome"] for fate in done["fates"]] == ["stale"]
    assert live.sink.query("SELECT note FROM t WHERE id = 3") == [("kind",)]
    assert "1 (redriven)" in refused(live, "parked", "redrive", live.SINK, "1", "--yes")

    done = said(live, "parked", "redrive", live.SINK, "6", "--yes", code=1)
    assert "an earlier letter of its row is open" in done["fates"][0]["reason"]
    words = ("parked", "redrive", live.SINK, "--kind", "constraint polite", "--yes")
    assert said(live, *words)["written"] == 4
    assert live.sink.query("SELECT next_offset, epoch FROM tailrace.offsets") == offsets
    done = said(live, "parked", "redrive", live.SINK, "--all", "--yes", code=1)
    assert "it can only be discarded" in done["fates"][0]["reason"]


def discard_the_rest(live: Cdc) -> None:
    words = ("parked", "discard", live.SINK, "4", "--yes", "--reason")
    assert "needs a reason" in refused(live, *words, "", code=2)
    assert said(live, *words, "sent by hand")["numbers"] == [4]
    (page,) = said(live, "parked", "list")["sinks"]
    assert (page["letters"], page["open_records"]) == ([], 0)
    (page,) = said(live, "parked", "list", "--resolved", "--after", "3", "--limit", "1")["sinks"]
    resolution = page["letters"][0]["resolution"]
    assert (resolution["outcome"], resolution["reason"]) == ("discarded", "sent by hand")
    assert choose(live.pipeline, live.SINK).letters == {}


def look_at_the_actions(live: Cdc) -> None:
    acts = said(live, "actions")["actions"]
    assert [act["action"] for act in acts] == ["discard", *["redrive"] * 5]
    first = acts[-1]
    assert (first["reason"], first["via"]) == ("rule dropped", "cli")
    assert first["outcome"] == "written 1, stale 0, refused 0"
    assert first["detail"] == {"by": "numbers", "letters": 1, "numbers": [0]}
    (at,) = live.sink.query("SELECT min(at) FROM tailrace.parked")[0]
    assert first["at"] < at.isoformat()
    log = log_of(live.pipeline, live.spec)
    for statement in ("UPDATE {} SET reason = 'x'", "DELETE FROM {}", "TRUNCATE {}"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            live.sql(statement.format("tailrace.actions"))
    with pytest.raises(ValueError, match="no such thing"), log.logged(ME, "try", "it"):
        raise ValueError("no such thing")
    assert (log.recent(1)[0].outcome, log.recent(1)[0].actor) == ("failed: ValueError", "ada")


def test_servers_that_are_away_and_a_log_that_cannot_be_written(cdc: Callable[..., Cdc]) -> None:
    made = cdc(DDL, ["public.t"])
    made.make_tables()
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    text = made.file.read_text()
    made.file.write_text(text.replace(made.brokers.bootstrap, nowhere))
    listed = made.command("parked", "list")
    assert (listed.returncode, listed.stdout) == (75, "")
    assert "No Kafka broker answers" in listed.stderr
    assert "[TR-PRK-001]" in listed.stderr
    made.file.write_text(text)
    assert said(made, "parked", "redrive", made.SINK, "--all")["fates"] == []
    assert said(made, "actions") == {"actions": []}
    made.file.write_text(text.replace(made.source_dsn, f"postgresql://postgres@{nowhere}/x"))
    assert said(made, "parked", "list") == {"sinks": [EMPTY]}
    told = refused(made, "connector", "pause", code=75)
    assert "Nothing was done, because the log of actions cannot be written" in told
    assert "[TR-ACT-001]" in told

    made.file.write_text(text)
    admin = kafka.KafkaAdminClient(**made.brokers.client())
    admin.create_topics([NewTopic(dead_letter_topic(made.pipeline, made.SINK), 2, 1)])
    admin.close()
    assert "2 partitions, so that its letters have no numbers" in refused(made, "parked", "list")
