"""Asking Kafka, the sinks, the workers and the clocks for the life of a change."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal

from connectors.position import lsn as lsn_text
from connectors.spec import ConnectorSpec
from consumer.event import TopicPartition
from consumer.records import log_id
from tailrace import logs
from tailrace.asking import Away
from tailrace.config import Pipeline
from tailrace.exits import TRY_AGAIN, Problem
from tailrace.lag import Source
from tailrace.trace import ask, letters, scan, target, wanted
from tailrace.trace.assemble import Answers, Sink, changes, unreadable
from tailrace.trace.view import Searched, Trace
from tailrace.trace.wanted import EventId, Key, Lsn, What
from tailrace.watch.skew import worth_showing
from tailrace.watch.view import Skew
from tailrace.wiring import dead_letter_topic, topic_of, topics_of

MOST_DELIVERIES = 500  # of all changes that are shown
LETTERS_FETCH_BYTES = 1 << 20
KINDS: Mapping[type, Literal["lsn", "event id", "key"]] = {
    Lsn: "lsn",
    EventId: "event id",
    Key: "key",
}


def find(
    pipeline: Pipeline,
    spec: ConnectorSpec,
    what: str,
    *,
    table: str | None = None,
    since_s: float | None = None,
    last: int = 10,
    with_values: bool = False,
    progress: scan.Progress = lambda done, total: None,
) -> Trace:
    """
    The newest `last` changes that `what` names, from `since_s` (seconds since 1970) on.

    Raises Problem: TR-TRC-001 and 002 for what cannot be looked for, TR-TRC-003 without Kafka.
    """
    meant, tables = wanted.parse(what, pipeline.rows, table)
    with ThreadPoolExecutor(1) as aside:
        clocks = aside.submit(ask.clocks, pipeline, spec)
        found, sinks = _search(pipeline, meant, tables, since_s, progress)
    source, connect_clock = clocks.result()
    skews = _skews(source, connect_clock)
    ahead_s = {skew.clock: skew.ahead_s for skew in skews}
    with ask.workers(pipeline) as settled:
        answers = Answers(found.parts, sinks, settled, ahead_s, with_values)
        seen = unreadable(answers, found.unreadable) + changes(answers, found.events)
    return Trace(
        what=what,
        kind=KINDS[type(meant)],
        found=found.count,
        changes=tuple(seen[-last:]),
        searched=tuple(_searched(found)),
        without_topic=tuple(found.without_topic),
        short=_short(found, since_s),
        hint=None if seen else _hint(meant, found, source),
        skews=tuple(skews),
        unknown=tuple(_unknown(source, connect_clock, sinks)),
    )


def _search(
    pipeline: Pipeline,
    meant: What,
    tables: Sequence[str],
    since_s: float | None,
    progress: scan.Progress,
) -> tuple[scan.Found, list[Sink]]:
    """Kafka's records, and then what each sink made of them."""
    began = ask.marks(pipeline)
    lives = range(1 + max((m.life for sink in began.values() for m in sink.values()), default=0))
    search = scan.Search(
        tables=pipeline.rows,
        topics=[topic_of(pipeline, name) for name in tables],
        is_meant=wanted.matcher(meant, lives),
        is_meant_key=wanted.key_matcher(meant) if isinstance(meant, Key) else lambda key: False,
        since_s=since_s,
        keep=MOST_DELIVERIES,
        around=meant.lsn if isinstance(meant, Lsn) else None,
    )
    try:
        with logs.kafka_consumer(pipeline.kafka, fetch_bytes=scan.FETCH_BYTES) as consumer:
            found = scan.scan(consumer, search, progress)
            return found, [_sink(pipeline, name, began[name], found, consumer) for name in began]
    except Away as away:
        raise Problem("TR-TRC-003", away.sentence, exit_code=TRY_AGAIN) from away


def _sink(
    pipeline: Pipeline, name: str, began: target.Marks, found: scan.Found, consumer: Any
) -> Sink:
    events = list(found.events)
    records = [event.record for event in events] + [each.record for each in found.unreadable]
    places = {(*record.at, record.offset) for record in records}
    tables = pipeline.sinks[name].tables
    now = ask.sink_now(pipeline, name, events)
    topic = dead_letter_topic(pipeline, name)
    found_letters = letters.look_for(consumer, topic, places)
    log = log_id(consumer, topic)
    parked = ask.decided(pipeline, name, log, found_letters)
    topics = topics_of(pipeline, name)
    return Sink(name, tables, topics, began, now, parked)


def _skews(source: Source | Away, connect_clock: Skew | Away) -> list[Skew]:
    found = [] if isinstance(source, Away) else [Skew("source", source.ahead_s, 0.01)]
    found += [] if isinstance(connect_clock, Away) else [connect_clock]
    return [skew for skew in found if worth_showing(skew)]


def _unknown(
    source: Source | Away, connect_clock: Skew | Away, sinks: Sequence[Sink]
) -> Iterator[str]:
    for away in (source, connect_clock):
        if isinstance(away, Away):
            yield f"{away.sentence} So it is not known how right its clock is."
    yield from (sink.now.sentence for sink in sinks if isinstance(sink.now, Away))


def _searched(found: scan.Found) -> Iterator[Searched]:
    for at, part in found.parts.items():
        began_at_s = None if part.began_at_ms is None else part.began_at_ms / 1000
        yield Searched(*at, part.start, max(part.start, part.reached), began_at_s)


def _short(found: scan.Found, since_s: float | None) -> str | None:
    if found.is_late:
        return (
            f"The search ended after {scan.READ_WITHIN_S:.0f} s, before the end of the topics: name"
            " the table with --table, or a later time to begin at, like --since 10m."
        )
    if found.is_cut and since_s is None:
        return (
            f"Only the newest {found.records:,} records were searched, from"
            f" {_oldest(found.parts)} on; for older ones say how far back, like --since 48h."
        )
    return None


def _oldest(parts: Mapping[TopicPartition, scan.Part]) -> str:
    times_ms = [part.began_at_ms for part in parts.values() if part.began_at_ms is not None]
    return moment(min(times_ms) / 1000) if times_ms else "?"


def moment(at_s: float) -> str:
    """A time for people, in UTC."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"


def _hint(meant: What, found: scan.Found, source: Source | Away) -> str | None:
    if not isinstance(meant, Lsn):
        return None
    if not isinstance(source, Away):
        if meant.lsn > source.position:
            return f"The source's log ends at {lsn_text(source.position)}: it is not that far yet."
        if source.slot and source.slot.confirmed and meant.lsn > source.slot.confirmed:
            return (
                f"The connector has confirmed the log up to {lsn_text(source.slot.confirmed)} only:"
                " a change at this place may still be on its way."
            )
    below = max((p.below_lsn for p in found.parts.values() if p.below_lsn), default=None)
    above = min((p.above_lsn for p in found.parts.values() if p.above_lsn), default=None)
    near = [lsn_text(each) for each in (below, above) if each is not None]
    return (
        f"The changes nearest to it are at {' and '.join(near)}; the LSN of a commit, or of a table"
        " that is not captured, is that of no change."
        if near
        else None
    )
