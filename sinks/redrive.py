"""
Parked changes, written once more inside a transaction of the Postgres sink, beside its worker.

Three things keep a key from going back (I3):

* The row of the partition in `tailrace.offsets` is locked first, so that a redrive comes wholly
  before or wholly after each of the worker's transactions: the guards see no half of one. Without
  that, a tombstone which the worker has not committed yet would not stop an older insert.
* Nothing is written that lies above the partition's mark. The worker takes what is above it for
  fresh and spares it the look at tombstones; so that has to stay true.
* Nothing is written that is older than tombstones are kept: its row may have been deleted since.
"""

from collections.abc import Collection
from typing import Any

import psycopg
from psycopg import sql

from consumer.errors import Busy, Rejected
from consumer.event import START, ChangeEvent, Position, TopicPartition
from sinks import refusal
from sinks.compaction import Placeholder
from sinks.postgres import KEEP_TOMBSTONES_S
from sinks.target import STATEMENTS, Target
from sinks.writes import Writer

CLOCKS_S = 24 * 3600  # how far the clocks of source and target may be apart, and more
WITHIN_S = KEEP_TOMBSTONES_S - CLOCKS_S

Connection = psycopg.Connection[Any]


class Redrive:
    """
    Of one partition, in the open transaction of `connection`; it commits nothing.

    `sink` is the name under which the worker keeps its offsets. Locks on construction.
    """

    def __init__(
        self,
        connection: Connection,
        sink: str,
        at: TopicPartition,
        targets: dict[str, Target],
        placeholder: str,
    ) -> None:
        self._connection = connection
        self._targets = targets
        self._writer = Writer(Placeholder(placeholder), lambda step: None)
        self._mark: Position | None = None
        self._now_s = 0.0
        if held := connection.execute(STATEMENTS["hold"], [sink, *at]).fetchone():
            self._mark, self._now_s = Position(*held[:3]), held[3]
        self._floors = self._read_floors(targets.keys())

    def _read_floors(self, tables: Collection[str]) -> dict[str, Position]:
        if not tables:
            return {}
        names = sql.SQL(", ").join(self._targets[name].relation for name in tables)
        self._connection.execute(sql.SQL(STATEMENTS["lock"]).format(targets=names))
        found = self._connection.execute(STATEMENTS["floors"], [list(tables)])
        return {name: Position(*position) for name, *position in found}

    def write(self, change: ChangeEvent) -> bool:
        """
        Whether it had an effect; False if the sink has something as new. `change.fresh` must be
        False, or the guards would not look.

        Raises Rejected with the sentence that says why; what was done before in the transaction
        is then lost, unless the caller goes back to a savepoint. Raises Busy for the database.
        """
        target = self._targets.get(change.table)
        if target is None:
            raise Rejected([(change, f"the target has no table {change.table}")])
        if why := self._against(change):
            raise Rejected([(change, why)])
        target.forget_stages()  # the caller's last savepoint may have taken them back
        try:
            return self._write(target, change)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise Rejected([(change, refusal.sentence(change, error))]) from error
        except Busy as busy:
            if isinstance(busy.__cause__, psycopg.OperationalError):
                raise
            raise Rejected([(change, str(busy))]) from busy

    def _write(self, target: Target, change: ChangeEvent) -> bool:
        with refusal.as_busy([target.name]):
            floor = self._floors.get(target.name)
            outcome = self._writer.write(self._connection, target, [change], floor)
            self._writer.empty_stages(self._connection, target)
        if change.op == "t":
            self._floors[target.name] = max(change.position, floor or START)
        return outcome.written > 0

    def _against(self, change: ChangeEvent) -> str:
        if self._mark is None:
            return "the sink has no mark for its partition: start the worker first"
        if change.position > self._mark:
            return "the sink has not come as far as this change: its worker decides first"
        age_s = self._now_s - change.committed_at_us / 1e6
        if change.op in "cru" and age_s > WITHIN_S:
            return (
                f"it was committed more than {WITHIN_S // 86400:d} days ago, and whether its row "
                "was deleted since is not known for so long: touch the row in the source (an "
                "UPDATE that changes nothing), which sends it anew, and discard this letter"
            )
        return ""
