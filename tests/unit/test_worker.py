"""The loop, with real decoder and memory sink between in-memory neighbours."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.decode import DebeziumDecoder
from consumer.errors import Busy, Rejected, Stopped
from consumer.event import Batch, Mark, Outcome, Record, TopicPartition
from consumer.facts import Applied, Assigned, Held, Parked
from consumer.retry import Backoff
from consumer.worker import Worker
from sinks.memory import MemorySink, Store
from tests.builders import P0, P1, TABLE, key, value
from tests.fakes import Crash, Drawer, Facts, Fuse, LogSource, MemoryKeys, Topics


class Inline(ThreadPoolExecutor):
    """Applies at once, on the same thread: a crash there is a crash here."""

    def submit(self, act: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(act(*arguments, **options))
        except BaseException as error:
            future.set_exception(error)
        return future


INLINE = Inline(1)


class Scripted:
    """A memory sink whose `apply` does what the script says first."""

    def __init__(self, store: Store, script: list[Callable[[Batch], None]]) -> None:
        self._sink = MemorySink(store)
        self._script = script

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Mark]:
        return self._sink.positions(partitions)

    def apply(self, batch: Batch) -> Outcome:
        if self._script:
            self._script.pop(0)(batch)
        return self._sink.apply(batch)

    def close(self) -> None:
        pass


@dataclass
class Bench:
    worker: Worker
    source: LogSource
    facts: Facts
    drawer: Drawer

    def drain(self) -> None:
        while not self.source.is_drained:
            self.worker.step()
        self.worker.step()


def bench(records: list[Record], store: Store, script: Any = (), fuse: Fuse | None = None) -> Bench:
    wrap = fuse.wrap if fuse else lambda neighbour: neighbour
    source, facts, drawer = LogSource(Topics(records)), Facts(), Drawer()
    worker = Worker(
        source=wrap(source),
        decoder=DebeziumDecoder([TABLE]),
        dedup=wrap(MemoryKeys(set())),
        sink=wrap(Scripted(store, list(script))),
        dead_letters=wrap(drawer),
        observe=facts,
        stopping=lambda: False,
        backoff=Backoff(first_s=0.0),
    )
    worker._applier = INLINE
    return Bench(worker, source, facts, drawer)


def records(*values: tuple[bytes | None, bytes | None], at: TopicPartition = P0) -> list[Record]:
    return [Record(at, i, k, v, (), 0) for i, (k, v) in enumerate(values)]


def change(id_: int, lsn: int, op: str = "c", note: str = "x") -> tuple[bytes, bytes]:
    row = {"id": id_, "note": note}
    return key(id=id_), value(op, after=row, lsn=lsn, commit=lsn - 1)


def test_every_record_ends_in_one_way() -> None:
    log = records(change(1, 10), (b"k", None), (b"k", b"{"), change(1, 10), change(2, 12))
    run = bench(log, Store())
    run.drain()
    applied = run.facts.of(Applied)
    outcomes, counts = [f.outcome for f in applied], [f.counts for f in applied]
    at_the_sink = sum(o.written + o.superseded + o.stale for o in outcomes)
    before_it = sum(c.duplicates + c.filtered + c.parked for c in counts)
    assert at_the_sink + before_it == sum(c.records for c in counts) == 5
    assert sum(c.filtered for c in counts) == sum(c.parked for c in counts) == 1
    assert "malformed JSON" in run.drawer.letters[0].reason


def test_what_the_sink_refuses_is_parked_and_the_rest_applied() -> None:
    def refuse(batch: Batch) -> None:
        raise Rejected([(batch.changes[1], "it may not be negative")])

    store = Store()
    run = bench(records(change(1, 10), change(2, 11), change(3, 12)), store, [refuse])
    run.drain()
    assert {row["id"] for row in store.rows.values()} == {1, 3}
    assert [letter.reason for letter in run.drawer.letters] == ["it may not be negative"]
    assert run.facts.of(Parked)


def test_a_busy_sink_gets_the_same_batch_again() -> None:
    def busy(batch: Batch) -> None:
        raise Busy("the disk is full")

    store = Store()
    run = bench(records(change(1, 10)), store, [busy, busy])
    run.drain()
    assert [held.reason for held in run.facts.of(Held)] == ["the disk is full"] * 2
    assert len(store.rows) == 1


def test_a_stop_does_not_wait_for_a_busy_sink() -> None:
    def busy(batch: Batch) -> None:
        raise Busy("away")

    run = bench(records(change(1, 10)), Store(), [busy] * 100)
    run.worker.backoff = Backoff(first_s=60.0)
    run.worker.step()  # takes over
    run.worker.stopping = lambda: True
    with pytest.raises(Stopped, match="away"):
        run.worker.step()


def test_a_lost_answer_is_not_applied_twice() -> None:
    store = Store()
    sink = MemorySink(store)

    def applied_but_unanswered(batch: Batch) -> None:
        owner = dict(store.owners)
        store.owners |= dict.fromkeys(batch.spans, sink)
        sink.apply(batch)
        store.owners = owner
        raise Crash("the answer was lost")

    run = bench(records(change(1, 10), change(2, 11)), store, [applied_but_unanswered])
    with pytest.raises(Crash):
        run.drain()
    again = bench(records(change(1, 10), change(2, 11)), store)
    again.drain()
    assert not again.facts.of(Applied)
    assert len(store.rows) == 2


def test_assigned_partitions_are_told() -> None:
    run = bench(records(change(1, 10)), Store())
    run.drain()
    assert [fact.partitions for fact in run.facts.of(Assigned)] == [{P0}]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Record], dict[int, str]]:
    """A log of two partitions with Debezium's repeats in it, and the rows it comes to."""
    truth: dict[int, str] = {}
    sent: dict[TopicPartition, list[tuple[bytes, bytes]]] = {P0: [], P1: []}
    lsn, at_lsn = 100, set[int]()
    for step in range(draw(st.integers(1, 25))):
        id_ = draw(st.integers(0, 9))
        at = (P0, P1)[id_ % 2]
        if id_ in at_lsn or draw(st.integers(0, 2)) == 0:  # else one more row of a COPY's page
            lsn, at_lsn = lsn + draw(st.integers(1, 3)), set()
        at_lsn.add(id_)
        if id_ in truth and draw(st.booleans()):
            del truth[id_]
            event = key(id=id_), value("d", before={"id": id_}, lsn=lsn, commit=lsn - 1)
        else:
            truth[id_] = f"note {step}"
            event = change(id_, lsn, "u", truth[id_])
        sent[at].append(event)
        if draw(st.integers(0, 4)) == 0:  # the connector went back and sends a tail again
            back = draw(st.integers(1, 6))
            sent[at] += sent[at][-back:]
    return [r for at, events in sent.items() for r in records(*events, at=at)], truth


@given(
    histories(), st.lists(st.tuples(st.integers(1, 14), st.booleans()), max_size=8), st.booleans()
)
@settings(deadline=None, max_examples=200)
def test_any_crash_at_any_call(
    history: tuple[list[Record], dict[int, str]], fuses: list[tuple[int, bool]], forgets: bool
) -> None:
    """I1 to I6: whatever dies wherever, the rows are the source's and each took effect once."""
    log, truth = history
    store, known, effects = Store(), set[bytes](), list[tuple[bytes, str]]()

    class Counting(MemorySink):
        def _apply(self, change: Any) -> bool:
            done = super()._apply(change)
            if done:
                effects.append((change.id, change.op))
            return done

    for calls, after in [*fuses, (10**9, False)]:
        fuse = Fuse(calls, after=after)
        source = LogSource(Topics(log))
        worker = Worker(
            source=fuse.wrap(source),
            decoder=DebeziumDecoder([TABLE]),
            dedup=fuse.wrap(MemoryKeys(set() if forgets else known)),
            sink=fuse.wrap(Counting(store)),
            dead_letters=fuse.wrap(Drawer()),
            observe=lambda fact: None,
            stopping=lambda: False,
        )
        worker._applier = INLINE
        try:
            while not source.is_drained:
                worker.step()
            worker.step()
        except Crash:
            continue
    assert {row["id"]: row["note"] for row in store.rows.values()} == truth
    assert len(effects) == len(set(effects)) == len({(msgspec.json.encode(r.value)) for r in log})
