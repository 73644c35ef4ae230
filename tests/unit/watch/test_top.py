"""What a terminal shows: a ? for what is not known, and never a 0 for it."""

import io
from typing import Any

from msgspec.structs import replace
from rich.console import Console

from tailrace.commands import top as command
from tailrace.watch import top, view, words
from tailrace.watch.chosen import SORTS, Choice, pipelines, pressed, rows
from tailrace.watch.states import State, Verdict

WORST = Choice("state")
UNKNOWN = Verdict(State.UNKNOWN, "Kafka does not answer", "start it", 100.0)


def pipeline(name: str = "shop", **of_sink: Any) -> view.Pipeline:
    budget = view.Budget(None, None, None, None, None)
    source = view.Source(
        slot="shop",
        verdict=Verdict(State.OK, "fine", "", 100.0),
        connector=None,
        tasks=(),
        is_read=None,
        reader=None,
        wal_status=None,
        confirmed_lsn=None,
        current_lsn=None,
        heartbeat_in_kafka_age_s=None,
        budget=budget,
        tables=(),
    )
    sink = view.Sink(
        name="mirror",
        verdict=UNKNOWN,
        partitions=(),
        workers=(),
        behind_records=None,
        lag_s=None,
        eta_s=None,
        arrived_per_s=None,
        applied_per_s=None,
        received=0,
        written=0,
        duplicates=0,
        parked=None,
        retries=0,
        waterfall=None,
    )
    sink = replace(sink, **of_sink)
    skew = view.Skew("connect", 2.0, 0.1)
    return view.Pipeline(name, sink.verdict, source, (sink,), (), (skew,))


def fleet() -> view.Snapshot:
    slow = Verdict(State.BEHIND, "75.0 s behind", "more workers", 100.0)
    fine = Verdict(State.OK, "fine", "", 100.0)
    return snapshot(
        pipeline("away"),
        pipeline("late", verdict=slow, lag_s=75.0, behind_records=9, arrived_per_s=1.0),
        pipeline("good", verdict=fine, lag_s=0.0, behind_records=0, arrived_per_s=5.0),
    )


def snapshot(*pipelines: view.Pipeline) -> view.Snapshot:
    return view.Snapshot(400.0, 1.0, pipelines)


def shown(found: view.Snapshot, choice: Choice = WORST, height: int = 40) -> str:
    out = io.StringIO()
    console = Console(file=out, width=130, no_color=True)
    lags_s = {("shop", "mirror"): [1.0, None, 0.5]}
    console.print(top.picture(found, choice, lags_s, height))
    return out.getvalue()


def sinks(choice: Choice) -> list[str]:
    return [row.pipeline for row in rows(fleet(), choice) if row.sink]


def keyed(*keys: str) -> Choice | None:
    choice: Choice | None = Choice("state")
    for key in keys:
        assert choice is not None
        choice = pressed(choice, key)
    return choice


def test_lines() -> None:
    source, sink = top.lines(rows(snapshot(pipeline()), Choice()))
    assert source == "shop  source  OK: fine"
    assert sink.endswith("UNKNOWN: Kafka does not answer  behind ?  lag ?  in ?  out ?")


def test_picture() -> None:
    text = shown(snapshot(pipeline()))
    assert "shop mirror: Kafka does not answer. Do: start it" in text
    assert "The clock of connect is +2.0 s from ours (± 0.1 s)." in text
    assert "█·▅" in text
    assert "5 m" in text
    assert " 0 " not in text


def test_a_picture_fits_the_screen_with_the_worst_on_top() -> None:
    many = snapshot(*(pipeline(f"p{number:03d}") for number in range(200)))
    text = shown(many, Choice("state", text="mirror"), height=30)
    assert len(text.splitlines()) <= 30
    assert "more row(s)" in text
    assert text.index("p000") < text.index("p001")
    assert "filter: mirror" in text


def test_the_highest_comes_first_and_what_is_not_known_last() -> None:
    assert sinks(Choice("state")) == ["away", "late", "good"]
    assert sinks(Choice("lag")) == ["late", "good", "away"]
    assert sinks(Choice("lag", is_reversed=True)) == ["good", "late", "away"]
    assert sinks(Choice("in")) == ["good", "late", "away"]
    assert set(command.SORTS) == set(SORTS)


def test_a_filter_looks_at_pipeline_sink_and_state() -> None:
    assert sinks(Choice(text="LATE")) == ["late"]
    assert sinks(Choice(text="behind")) == ["late"]
    assert len(sinks(Choice(text="mirror"))) == 3
    assert [one.name for one in pipelines(fleet(), "unknown")] == ["away"]


def test_keys() -> None:
    assert keyed("s") == Choice("lag")
    assert keyed(*"sssss") == Choice("state")
    assert keyed("r", "p") == Choice("state", is_reversed=True, is_paused=True)
    assert keyed(*"fqx", "\x7f", "\n") == Choice("state", text="q")
    assert keyed(*"fq", "\x1b") == Choice("state")
    assert keyed("x") == Choice("state")
    assert keyed("q") is None


def test_words_for_figures() -> None:
    assert (words.seconds(None), words.seconds(0.02), words.seconds(75.0)) == (
        "?",
        "20 ms",
        "75.0 s",
    )
    assert (words.span(59), words.span(7200), words.span(3 * 86400)) == ("59 s", "2 h", "3 d")
    assert top.spark([0.0, 0.0]) == "▁▁"
