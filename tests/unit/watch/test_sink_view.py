"""What is shown of a sink, from answers made up: what is known, what is not, and whose clock."""

from dataclasses import replace
from typing import Any

from msgspec.structs import replace as changed

from consumer.event import TopicPartition
from consumer.metrics import Place, Status
from tailrace.asking import Away
from tailrace.lag import Kafka, Log, Source
from tailrace.watch import sink_view, view
from tailrace.watch.answers import Answers, KafkaAnswer, Memory
from tailrace.watch.budget import Limits
from tailrace.watch.probes import Seen, WorkersAnswer
from tailrace.watch.states import State

NOW_S = 1_000_000.0
WHERE = "10.0.0.7:8000"
P0 = TopicPartition("shop.public.t", 0)
WORKER = Status(
    "mirror", pid=7, ticked_at_s=NOW_S, places=[Place(P0.topic, P0.partition, 5)], is_assigned=True
)


def seen(answer: Any) -> Seen[Any]:
    return Seen(answer, NOW_S - 0.1, NOW_S)


def answers(
    worker: Status = WORKER, beat_age_s: float | None = 1.0, parked: int | None = 0
) -> Answers:
    beat_at_us = None if beat_age_s is None else int((NOW_S - beat_age_s) * 1e6)
    return Answers(
        name="shop",
        slot="shop",
        tables=["public.t"],
        topics={"mirror": [P0.topic]},
        interval_s=1.0,
        heartbeat_interval_ms=5000,
        allowed_lag_s=10.0,
        budget_limits=Limits(),
        source=seen(Source(None, 1, 1, ahead_s=0.0)),
        kafka=seen(
            KafkaAnswer(
                {"mirror": {P0: 5}},
                Kafka({"mirror": {P0: Log(0, 5)}}, beat_at_us),
                {"mirror": parked},
            )
        ),
        connect=None,
        redis=None,
        workers=seen([WorkersAnswer(WHERE, (worker,))]),
        sinks_away={"mirror": None},
        sinks_seen_at_s={"mirror": NOW_S},
        skews={},
    )


def look(found: Answers) -> view.Sink:
    return sink_view.look(found, Memory(), "mirror", NOW_S)


def test_nothing_waits() -> None:
    sink = look(answers())
    assert (sink.verdict.state, sink.lag_s, sink.behind_records) == (State.IDLE, 0.0, 0)


def test_without_heartbeats_nobody_knows_what_is_not_in_kafka() -> None:
    assert look(answers(beat_age_s=10.5)).lag_s is None
    assert look(answers(beat_age_s=None)).lag_s is None
    assert look(replace(answers(), source=None)).lag_s is None


def test_parked_records_are_not_well() -> None:
    verdict = look(answers(parked=3)).verdict
    assert verdict.state is State.DEGRADED
    assert "3 record(s) are parked" in verdict.reason
    assert verdict.todo == "`tailrace parked list`"


def test_a_wrong_clock_is_no_hanging_worker() -> None:
    late = answers(changed(WORKER, ticked_at_s=NOW_S - 20))
    assert look(late).verdict.state is State.STOPPED
    skew = view.Skew(f"workers at {WHERE}", ahead_s=-20.0, within_s=0.5)
    sink = look(replace(late, skews={skew.clock: skew}))
    assert sink.verdict.state is State.IDLE
    assert sink.workers[0].ticked_at_s == NOW_S


def test_how_long_a_look_is_ago_says_nothing_of_the_worker() -> None:
    """With many pipelines the looks are far apart: a worker is judged as of when it spoke."""
    slow = replace(answers(), interval_s=20.0)
    assert sink_view.look(slow, Memory(), "mirror", NOW_S + 15).verdict.state is State.IDLE
    assert isinstance(slow.kafka, Seen)
    silent = replace(slow, kafka=replace(slow.kafka, answered_at_s=NOW_S + 61))
    verdict = sink_view.look(silent, Memory(), "mirror", NOW_S + 61).verdict
    assert (verdict.state, "workers" in verdict.reason) == (State.UNKNOWN, True)


def test_why_no_partition_is_known() -> None:
    """The sentence names the server that would know, or what is not there yet."""
    away = "No Kafka broker answers at 127.0.0.1:1."
    reasons = {
        away: replace(answers(), kafka=Away(away)),
        "nothing has been heard yet": replace(answers(), kafka=None),
        "none of its topics is in Kafka yet": replace(
            answers(), kafka=seen(KafkaAnswer({"mirror": {}}, Kafka({"mirror": {}}, None), {}))
        ),
    }
    for reason, found in reasons.items():
        verdict = look(found).verdict
        assert (verdict.state, verdict.reason) == (State.UNKNOWN, reason)


def test_nothing_is_well_before_parked_records_are_counted() -> None:
    """As after a restart; once they were, a look that could not count them says nothing new."""
    memory = Memory()
    seen_so = [
        sink_view.look(answers(parked=parked), memory, "mirror", NOW_S).verdict.state
        for parked in (None, 3, None, 0)
    ]
    well = sink_view.look(answers(), Memory(), "mirror", NOW_S).verdict.state
    assert seen_so == [State.UNKNOWN, State.DEGRADED, well, well]
    assert not well.is_wrong
