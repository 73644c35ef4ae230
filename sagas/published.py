"""
The log of sagas as Debezium published it, held against the log as it is. Who may do anything in the
database can write a whole chain anew, but cannot take back what lies in Kafka.
"""

from collections.abc import Sequence

import msgspec

from sagas import log
from sagas.log import Break, Connection, Line, Row


class _After(Line, frozen=True):
    """As Debezium has it."""

    hash: str


class _Key(msgspec.Struct):
    seq: int


class _Change(msgspec.Struct):
    op: str
    before: _Key | None = None
    after: _After | None = None


_change = msgspec.json.Decoder(_Change).decode


class Compared(msgspec.Struct, frozen=True):
    """
    `begins_at`: the first row that was published; the chain alone speaks for those before it. None
    where there is none. `behind`: how many rows at the end were not published yet.
    """

    begins_at: int | None
    behind: int
    breaks: list[Break]


def read(value: bytes | None) -> Row | Break:
    """A record of the topic: the row that was written, or what says that the log was rewritten."""
    try:
        change = _change(value or b"")
        if change.op in ("c", "r") and change.after is not None:
            said = msgspec.structs.asdict(change.after)
            return Row(**said | {"hash": bytes.fromhex(change.after.hash)})
    except (msgspec.MsgspecError, ValueError) as error:
        return Break(0, f"a record of the topic is no row of the log: {error}")
    row = change.before or change.after
    which = f"row {row.seq} was" if row else "rows were"
    return Break(row.seq if row else 0, f"{which} rewritten: the topic has its {change.op!r}")


class Published:
    """What was read of the topic so far; `last` is the newest row when the reading began."""

    def __init__(self, tx: Connection) -> None:
        self._tx = tx
        self._last = log.length(tx)
        self._seen = bytearray(self._last + 1)
        self._young: list[Row] = []
        self._breaks: dict[Break, None] = {}

    @property
    def is_whole(self) -> bool:
        """Whether all was seen from the first published row to the last one."""
        first = self._seen.find(1)
        return self._last == 0 or (first > 0 and self._seen.find(0, first) < 0)

    def take(self, values: Sequence[bytes | None]) -> None:
        """The next records."""
        found = [read(value) for value in values]
        self._breaks |= dict.fromkeys(each for each in found if isinstance(each, Break))
        self._young += self._absent([each for each in found if isinstance(each, Row)])

    def compared(self) -> Compared:
        """After the last record. A row may be published a moment before others can see it."""
        for row in self._absent(self._young):
            self._not_there(row)
        first = self._seen.find(1)
        newest = self._seen.rfind(1)
        unseen = self._seen.find(0, first) if first > 0 else -1
        while 0 <= unseen < newest:
            said = f"row {unseen} was never published, but rows after it were"
            self._breaks[Break(unseen, said)] = None
            unseen = self._seen.find(0, unseen + 1)
        breaks = sorted(self._breaks, key=lambda each: each.seq)
        return Compared(first if first > 0 else None, self._last - max(newest, 0), breaks)

    def _absent(self, rows: Sequence[Row]) -> list[Row]:
        """Holds rows against the database; those younger than all it had come back."""
        there = {row.seq: row for row in log.some(self._tx, [row.seq for row in rows])}
        absent = []
        for row in rows:
            if 0 < row.seq <= self._last:
                self._seen[row.seq] = 1
            if row.seq not in there and row.seq > self._last:
                absent.append(row)
            elif row.seq not in there:
                self._not_there(row)
            elif row != there[row.seq]:
                said = f"row {row.seq} is not the one that was published"
                self._breaks[Break(row.seq, said)] = None
        return absent

    def _not_there(self, row: Row) -> None:
        said = f"row {row.seq} was published, and is not in the database"
        self._breaks[Break(row.seq, said)] = None
