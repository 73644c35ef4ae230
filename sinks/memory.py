"""The smallest whole sink: read it before you write one (docs/write-a-sink.md)."""

from collections.abc import Collection
from typing import Any

import msgspec

from consumer.errors import Fenced
from consumer.event import FIRST, START, Batch, ChangeEvent, Mark, Outcome, Position, TopicPartition


class Store:
    """What outlives a sink, as a database does."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], Any] = {}
        self.positions: dict[tuple[str, bytes], Position] = {}  # of deleted rows, too
        self.floors: dict[str, Position] = {}  # of truncated tables
        self.marks: dict[TopicPartition, Mark] = {}
        self.owners: dict[TopicPartition, object] = {}


class MemorySink:
    """It passes the same contract as the others: tests/contracts/sink_contract.py."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Mark]:
        self._store.owners |= dict.fromkeys(partitions, self)
        return {at: self._store.marks.get(at, FIRST) for at in partitions}

    def apply(self, batch: Batch) -> Outcome:
        store = self._store
        for at, span in batch.spans.items():  # I5: before anything is written
            if store.owners.get(at) is not self or store.marks.get(at, FIRST)[0] != span.start:
                raise Fenced(f"{at.topic}[{at.partition}] was taken over by another worker")
        written = sum(map(self._apply, batch.changes))
        store.marks |= batch.marks
        return Outcome(written, 0, len(batch.changes) - written)

    def _apply(self, change: ChangeEvent) -> bool:
        """I3: only over what is older; a deleted row leaves its position behind."""
        store, row = self._store, (change.table, change.key)
        floor = store.floors.get(change.table, START)
        if change.position <= max(floor, store.positions.get(row, START)):
            return False
        if change.op == "t":
            store.floors[change.table] = change.position
            older = [r for r, at in store.positions.items() if at < change.position]
            for gone in [r for r in older if r[0] == change.table]:
                store.rows.pop(gone, None)
            return True
        store.positions[row] = change.position
        if change.op == "d":
            store.rows.pop(row, None)
        else:
            store.rows[row] = msgspec.json.decode(change.after)
        return True

    def close(self) -> None:
        pass
