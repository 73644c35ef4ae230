"""What was read of a change in all places -> its life. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from consumer.event import ChangeEvent, DeadLetter, Record, TopicPartition, ids
from consumer.settled import Settled
from tailrace.asking import Away
from tailrace.trace import view
from tailrace.trace.letters import Place
from tailrace.trace.moments import Clocks, envelope, until_booked, until_kafka
from tailrace.trace.scan import Part
from tailrace.trace.target import Marks, RowKey, Shown, judge
from tailrace.trace.wanted import in_life, shown

LONGEST_VALUE = 2_000
JUST_NOW = (
    "no worker remembers its batch: it was settled before they began, too long ago, or just now"
)


@dataclass(frozen=True, slots=True)
class Sink:
    """
    One sink's answers; an Away for what did not answer. `tables` are those that it has; `began`
    are its marks from before the search, by which lives of the source are counted.
    """

    name: str
    tables: Sequence[str]
    topics: Sequence[str]
    began: Marks
    now: tuple[Marks, Mapping[RowKey, Shown | str]] | Away
    letters: Mapping[Place, list[view.Letter]] | Away


@dataclass(frozen=True, slots=True)
class Answers:
    """All that was learned. `settled` finds batches, or says why none is to be found."""

    parts: Mapping[TopicPartition, Part]
    sinks: Sequence[Sink]
    settled: Callable[[Place], Sequence[Settled] | str]
    ahead_s: Clocks
    with_values: bool

    def life(self, sink: Sink, at: TopicPartition) -> int:
        """How many lives of the source the sink counted before those that the search saw."""
        mark = sink.began.get(at)
        return mark.life - self.parts[at].life_at(mark.next_offset) if mark else 0


def changes(answers: Answers, events: Sequence[ChangeEvent]) -> list[view.Change]:
    """Each change once, with all records that carry it, in the order of the source."""

    def identity(event: ChangeEvent) -> bytes:
        return ids([event])[0]

    ordered = sorted(events, key=lambda e: (e.position, identity(e), e.record.offset))
    return [_change(answers, list(same)) for _, same in groupby(ordered, key=identity)]


def _change(answers: Answers, events: Sequence[ChangeEvent]) -> view.Change:
    first = events[0]
    at = first.record.at
    following = [sink for sink in answers.sinks if first.table in sink.tables]
    more = answers.life(following[0], at) if following else 0
    rows = (first.before, first.after) if answers.with_values else (None, None)
    before, after = (None if r is None else shown(bytes(r).decode(), LONGEST_VALUE) for r in rows)
    return view.Change(
        id=ids([in_life(first, more)])[0].hex(),
        table=first.table,
        op=first.op,
        key=_key(first.record),
        lsn=first.position.lsn,
        commit_lsn=first.position.commit if first.position.commit > 0 else None,
        transaction=envelope(first.record).source.txId,
        deliveries=_deliveries(answers, [event.record for event in events]),
        rows=tuple(_row(answers, sink, first) for sink in following if first.op != "t"),
        before=before,
        after=after,
    )


def unreadable(answers: Answers, letters: Sequence[DeadLetter]) -> list[view.Change]:
    """Records that no worker can decode, each by itself."""
    return [
        view.Change(
            id=None,
            table=None,
            op=None,
            key=_key(letter.record),
            lsn=None,
            commit_lsn=None,
            transaction=None,
            deliveries=_deliveries(answers, [letter.record]),
            rows=(),
            unreadable=letter.reason,
        )
        for letter in letters
    ]


def _key(record: Record) -> str | None:
    return None if record.key is None else record.key.decode(errors="replace")


def _deliveries(answers: Answers, records: Sequence[Record]) -> tuple[view.Delivery, ...]:
    found = []
    first: dict[TopicPartition, int] = {}
    for record in records:
        first.setdefault(record.at, record.offset)
        repeat_of = first[record.at] if first[record.at] != record.offset else None
        moments = until_kafka(record, answers.ahead_s)
        fates = tuple(
            _fate(answers, sink, record, moments)
            for sink in answers.sinks
            if record.at.topic in sink.topics
        )
        found.append(view.Delivery(*record.at, record.offset, repeat_of, moments, fates))
    return tuple(found)


def _fate(
    answers: Answers, sink: Sink, record: Record, before: tuple[view.Moment, ...]
) -> view.Fate:
    if isinstance(sink.now, Away):
        return view.Fate(sink.name, "unknown", None, why=sink.now.sentence)
    mark = sink.now[0].get(record.at)
    place = (*record.at, record.offset)
    letters = () if isinstance(sink.letters, Away) else tuple(sink.letters.get(place, ()))
    next_offset = mark.next_offset if mark else 0
    if next_offset <= record.offset and not letters:
        return view.Fate(sink.name, "not reached", next_offset)
    batch, why = _batch(answers, sink, place)
    if isinstance(sink.letters, Away):
        why = sink.letters.sentence
    return view.Fate(
        sink.name,
        "parked" if letters else "settled",
        next_offset,
        _booked(batch, before, answers, is_parked=bool(letters)) if batch else (),
        view.Batch(batch.worker, sum(batch.ended.values()), batch.ended) if batch else None,
        letters,
        why,
    )


def _booked(
    batch: Settled, before: tuple[view.Moment, ...], answers: Answers, *, is_parked: bool
) -> tuple[view.Moment, ...]:
    """A parked record was settled with its batch, and not applied."""
    moments = until_booked(batch, before, answers.ahead_s)
    return tuple(m for m in moments if not (is_parked and m.name == "applied"))


def _batch(answers: Answers, sink: Sink, place: Place) -> tuple[Settled | None, str | None]:
    found = answers.settled(place)
    if isinstance(found, str):
        return None, found
    batch = next((batch for batch in found if batch.sink == sink.name), None)
    return batch, None if batch else JUST_NOW


def _row(answers: Answers, sink: Sink, change: ChangeEvent) -> view.RowNow:
    if isinstance(sink.now, Away):
        return view.RowNow(sink.name, "unknown", why=sink.now.sentence)
    found = sink.now[1].get((change.table, change.key), "its row was not asked for")
    state, at = judge(change, answers.life(sink, change.record.at), found)
    return view.RowNow(
        sink.name, state, at.lsn if at else None, found if isinstance(found, str) else None
    )
