"""
The smallest whole sink: rows in a dictionary. It passes the same contract as the others
(tests/contracts/sink_contract.py) and is the page to read before writing one: docs/write-a-sink.md.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from consumer.errors import Fenced
from consumer.event import FIRST, Batch, ChangeEvent, Mark, Outcome, Position, TopicPartition


class Store:
    """What outlives a sink, as a database does: rows, deleted keys, marks and their owners."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], Any] = {}
        self.positions: dict[tuple[str, bytes], Position] = {}  # also of deleted rows
        self.floors: dict[str, Position] = {}  # of truncated tables
        self.marks: dict[TopicPartition, Mark] = {}
        self.owners: dict[TopicPartition, object] = {}


class MemorySink:
    """The smallest whole sink: read it before you write one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Mark]:
        self._store.owners |= dict.fromkeys(partitions, self)
        return {at: self._store.marks.get(at, FIRST) for at in partitions}

    def apply(self, batch: Batch) -> Outcome:
        store = self._store
        for at, span in batch.spans.items():  # I5: before anything is written
            if store.owners.get(at) is not self or store.marks.get(at, FIRST)[0] != span.start:
                raise Fenced(f"{at.topic}[{at.partition}] was taken over by another worker")
        applied = sum(map(self._apply, batch.changes))
        store.marks |= batch.marks
        return Outcome(applied, 0, len(batch.changes) - applied)

    def _apply(self, change: ChangeEvent) -> bool:
        """I3: only a newer change than what is there; a deleted row leaves its position behind."""
        store, row = self._store, (change.table, change.key)
        if change.op == "t":
            return self._truncate(change)
        if change.position <= max(
            store.positions.get(row, Position(0, -2, 0)),
            store.floors.get(change.table, Position(0, -2, 0)),
        ):
            return False
        store.positions[row] = change.position
        if change.op == "d":
            store.rows.pop(row, None)
        else:
            store.rows[row] = msgspec.json.decode(change.after)
        return True

    def _truncate(self, change: ChangeEvent) -> bool:
        store = self._store
        if change.position <= store.floors.get(change.table, Position(0, -2, 0)):
            return False
        store.floors[change.table] = change.position
        for row in [row for row in store.rows if row[0] == change.table]:
            if store.positions[row] < change.position:
                del store.rows[row]
        return True

    def close(self) -> None:
        pass
