"""Writing the changes of one table inside the Postgres sink's transaction."""

import time
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import psycopg
from msgspec.structs import astuple, replace
from psycopg import errors

from consumer.errors import Busy, Rejected
from consumer.event import ChangeEvent, Outcome, Position
from sinks.compaction import Finals, Placeholder, finals, merged
from sinks.rows import NULL, quoted
from sinks.target import STATEMENTS, Shape, Target

COPY_ROWS = 1_000  # handed over at once: Postgres takes these in while the next are written
STAGED_AFTER_FALLBACK_S = 60.0  # a failed COPY leaves dead rows: not again so soon

Connection = psycopg.Connection[Any]


UNWRITABLE = (msgspec.MsgspecError, ValueError, KeyError, TypeError, IndexError)


class NotFresh(Exception):
    """A row that should have been new was there; the transaction has to be begun again."""


class Rows:
    """Decoded rows of one shape, beside their changes; `kept` are fields that did not travel."""

    __slots__ = ("changes", "kept", "rows")

    def __init__(
        self, changes: Sequence[ChangeEvent], rows: Sequence[Any], kept: Sequence[Sequence[str]]
    ) -> None:
        self.changes, self.rows, self.kept = changes, rows, kept

    def only(self, numbers: Sequence[int]) -> "Rows":
        """These of them."""
        changes, rows = self.changes, self.rows
        kept = [self.kept[i] for i in numbers] if self.kept else ()
        return Rows([changes[i] for i in numbers], [rows[i] for i in numbers], kept)

    def parts(self, size: int) -> "Iterator[Rows]":
        """All of them, `size` at a time."""
        for i in range(0, len(self.rows), size):
            part = slice(i, i + size)
            yield Rows(self.changes[part], self.rows[part], self.kept[part])


class Writer:
    """Writes runs of changes into one target table at a time."""

    def __init__(self, placeholder: Placeholder, reached: Callable[[str], None]) -> None:
        self._placeholder = placeholder
        self._reached = reached
        self._staged_until_s: dict[str, float] = {}

    def write(
        self,
        connection: Connection,
        target: Target,
        changes: Sequence[ChangeEvent],
        floor: Position | None,
    ) -> Outcome:
        """A run of changes of one table. Raises NotFresh, Busy, Rejected and psycopg's errors."""
        if changes[0].op == "t":
            return self._truncate(connection, target, changes[0])
        above = changes
        if floor is not None:
            above = [change for change in changes if change.position > floor]
        newest = finals(above)
        written = self._delete(connection, target, newest)
        written += self._upsert(connection, target, newest, above)
        return Outcome(
            written,
            superseded=len(above) - len(newest.changes),
            stale=len(changes) - len(above) + len(newest.changes) - written,
        )

    def empty_stages(self, connection: Connection, target: Target) -> None:
        """Before another run of the same table in this transaction."""
        for shape in target.stages():
            connection.execute(shape.statements["empty_stage"])

    def _truncate(self, connection: Connection, target: Target, change: ChangeEvent) -> Outcome:
        """A barrier: older rows go, and older changes stay out from now on."""
        self.empty_stages(connection, target)
        statements = target.shape().statements
        connection.execute(statements["lock_truncate"])
        raised = connection.execute(
            STATEMENTS["raise_floor"], [target.name, *astuple(change.position)]
        ).rowcount
        connection.execute(statements["truncate"], astuple(change.position))
        return Outcome(raised, 0, 1 - raised)

    def _delete(self, connection: Connection, target: Target, newest: Finals) -> int:
        deletes = [change for change in newest.changes if change.op == "d"]
        if not deletes:
            return 0
        shape = target.deletes
        self._stage(connection, shape, Rows(deletes, [_read_key(shape, c) for c in deletes], ()))
        with connection.pipeline():
            buried = connection.execute(shape.statements["bury"])
            connection.execute(shape.statements["delete"])
        return buried.rowcount

    def _upsert(
        self,
        connection: Connection,
        target: Target,
        newest: Finals,
        changes: Sequence[ChangeEvent],
    ) -> int:
        upserts = [change for change in newest.changes if change.op != "d"]
        written = 0
        for shape, rows in self._decoded(target, upserts, newest, changes):
            direct: Rows | None = None
            staged: Rows | None = rows
            if newest.all_fresh and self._may_copy(target):
                direct, staged = _apart(rows, newest)
            if direct is not None:
                written += self._copy(connection, shape, direct)
            if staged is not None:
                written += self._guarded(connection, shape, staged, newest.all_fresh)
        return written

    def _may_copy(self, target: Target) -> bool:
        return time.monotonic() >= self._staged_until_s.get(target.name, 0.0)

    def _copy(self, connection: Connection, shape: Shape, rows: Rows) -> int:
        try:
            with connection.cursor().copy(shape.statements["copy_fresh"]) as copy:
                for some in rows.parts(COPY_ROWS):
                    copy.write("\n".join([*_lines(shape, some), ""]))
        except errors.UniqueViolation as error:
            until_s = time.monotonic() + STAGED_AFTER_FALLBACK_S
            self._staged_until_s[shape.target.name] = until_s
            raise NotFresh from error
        self._reached("copied")
        return len(rows.rows)

    def _guarded(self, connection: Connection, shape: Shape, rows: Rows, all_fresh: bool) -> int:
        self._stage(connection, shape, rows)
        self._reached("staged")
        upsert = shape.statements["upsert_fresh" if all_fresh else "upsert"]
        written = connection.execute(upsert).rowcount
        if any(rows.kept):
            missing = {key for (key,) in connection.execute(shape.statements["missing_kept"])}
            if missing:
                lacking = [change for change in rows.changes if _text(change) in missing]
                raise Rejected([(change, _incomplete(change)) for change in lacking])
            written += connection.execute(shape.statements["update_kept"]).rowcount
        self._reached("upserted")
        return written

    def _stage(self, connection: Connection, shape: Shape, rows: Rows) -> None:
        if not shape.is_staged:
            connection.execute(shape.statements["stage"])
            shape.is_staged = True
        with connection.cursor().copy(shape.statements["copy_stage"]) as copy:
            for some in rows.parts(COPY_ROWS):
                kept = [_array(shape, fields) for fields in some.kept] or [NULL] * len(some.rows)
                parts = zip(_lines(shape, some), some.changes, kept, strict=True)
                copy.write(
                    "".join([f"{row},{quoted(_text(change))},{k}\n" for row, change, k in parts])
                )

    def _decoded(
        self,
        target: Target,
        upserts: Sequence[ChangeEvent],
        newest: Finals,
        changes: Sequence[ChangeEvent],
    ) -> list[tuple[Shape, Rows]]:
        """Rows by their shape; nearly always there is one."""
        if not upserts:
            return []
        shape = target.shape()
        read = shape.codec.read
        if not any([change.op == "u" and self._is_partial(target, change) for change in upserts]):
            try:
                return [(shape, Rows(upserts, [read(change.after) for change in upserts], ()))]
            except msgspec.ValidationError:
                pass  # not of the usual shape: one by one
        shapes: dict[frozenset[str], list[tuple[ChangeEvent, Any, Sequence[str]]]] = {}
        for change in upserts:
            absent = _absent(target, change)
            row, kept = self._row(target.shape(absent), change, newest, changes)
            shapes.setdefault(absent, []).append((change, row, kept))
        return [
            (target.shape(absent), Rows(*map(list, zip(*rows, strict=True))))
            for absent, rows in shapes.items()
        ]

    def _row(
        self, shape: Shape, change: ChangeEvent, newest: Finals, changes: Sequence[ChangeEvent]
    ) -> tuple[Any, Sequence[str]]:
        same_key = [change]
        if change.key in newest.repeated:
            earlier = [c for c in changes if c.key == change.key and c.position <= change.position]
            same_key = sorted(earlier, key=attrgetter("position"))
        try:
            row, kept = merged(same_key, shape.codec.read, self._placeholder)
        except msgspec.ValidationError as error:
            reason = f"a value of {change.table} is not of its column's type: {error}"
            raise Rejected([(change, reason)]) from error
        return replace(row, **dict.fromkeys(kept)), kept

    def _is_partial(self, target: Target, change: ChangeEvent) -> bool:
        return self._placeholder.may_be_in(change.record.value, arrays=target.has_arrays)


def _lines(shape: Shape, rows: Rows) -> list[str]:
    """Raises Rejected for rows with a value that cannot be put into its column's words."""
    try:
        return shape.codec.lines(rows.changes, rows.rows)
    except UNWRITABLE:
        refused = []
        for change, row in zip(rows.changes, rows.rows, strict=True):
            try:
                shape.codec.lines([change], [row])
            except UNWRITABLE as error:
                reason = (
                    f"a value of {change.table} does not fit its column: {type(error).__name__}"
                )
                refused.append((change, reason))
        raise Rejected(refused) from None


def _apart(rows: Rows, newest: Finals) -> tuple[Rows | None, Rows | None]:
    """Inserts whose key comes once in the batch, and the others."""
    if not newest.repeated and {change.op for change in rows.changes} <= {"c", "r"}:
        return rows, None
    direct: list[int] = []
    staged: list[int] = []
    for i, change in enumerate(rows.changes):
        is_insert = change.op in "cr" and change.key not in newest.repeated
        (direct if is_insert else staged).append(i)
    return (rows.only(direct) if direct else None), (rows.only(staged) if staged else None)


def _read_key(shape: Shape, change: ChangeEvent) -> Any:
    try:
        return shape.codec.read(change.key)
    except msgspec.MsgspecError as error:
        names = ", ".join(column.name for column in shape.columns)
        raise Busy(
            f"the key of a change of {change.table} does not fit the target's primary key "
            f"({names}): {error}. Give both tables the same key; the changes wait"
        ) from error


def _absent(target: Target, change: ChangeEvent) -> frozenset[str]:
    try:
        row = msgspec.json.decode(change.after, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise Rejected(
            [(change, f"the row of {change.table} is no JSON object: {error}")]
        ) from error
    if unknown := target.unknown_in(row):
        raise Busy(
            f"the target table {change.table} has no column {', '.join(unknown)}: "
            "run `tailrace schema apply`; the changes wait"
        )
    return target.absent_from(row)


def _text(change: ChangeEvent) -> str:
    return change.key.decode()


def _array(shape: Shape, kept: Sequence[str]) -> str:
    """A boolean for each column: whether its value did not travel; NULL if all did."""
    if not kept:
        return NULL
    flags = ("t" if f"c{i}" in kept else "f" for i in range(len(shape.columns)))
    return quoted("{" + ",".join(flags) + "}")


def _incomplete(change: ChangeEvent) -> str:
    return (
        f"a change of {change.table} leaves out a large value that stayed the same, and the target "
        "has no such row to keep it from: take a snapshot of the row, or set REPLICA IDENTITY FULL"
    )
