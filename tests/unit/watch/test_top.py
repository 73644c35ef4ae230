"""What a terminal shows: a ? for what is not known, and never a 0 for it."""

import io

from rich.console import Console

from tailrace.watch import top, view, words
from tailrace.watch.states import State, Verdict

UNKNOWN = Verdict(State.UNKNOWN, "Kafka does not answer", "start it", 100.0)


def pipeline() -> view.Pipeline:
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
    skew = view.Skew("connect", 2.0, 0.1)
    return view.Pipeline("shop", UNKNOWN, source, (sink,), (), (skew,))


def test_lines() -> None:
    source, sink = top.lines(pipeline())
    assert source == "shop  source  OK: fine"
    assert sink.endswith("UNKNOWN: Kafka does not answer  behind ?  lag ?  in ?  out ?")


def test_picture() -> None:
    out = io.StringIO()
    console = Console(file=out, width=110, no_color=True)
    console.print(top.picture(pipeline(), {"mirror": [1.0, None, 0.5]}, now_s=400.0))
    shown = out.getvalue()
    assert "mirror: Kafka does not answer. Do: start it" in shown
    assert "The clock of connect is +2.0 s from ours (± 0.1 s)." in shown
    assert "█·▅" in shown
    assert "5 m" in shown
    assert " 0 " not in shown


def test_words_for_figures() -> None:
    assert (words.seconds(None), words.seconds(0.02), words.seconds(75.0)) == (
        "?",
        "20 ms",
        "75.0 s",
    )
    assert (words.span(59), words.span(7200), words.span(3 * 86400)) == ("59 s", "2 h", "3 d")
    assert top.spark([0.0, 0.0]) == "▁▁"
