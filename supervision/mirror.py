"""
Rows of a Postgres mirror that are not the source's: which really are not, and one of them mended.

docs/adr/0016 argues both. In short: a row differs for sure if the source's row is the same before
and after the sink has passed a later LSN, and the sink still has another. A mended row keeps its
position, so that whatever streams comes above it and wins.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import psycopg
from msgspec.structs import astuple
from psycopg import sql

from consumer.event import START, Position
from sinks.target import load_statements, read_targets
from sinks.writers import await_writers
from supervision.digests import Side, same_texts, snapshot

STATEMENTS = load_statements(Path(__file__).with_name("mirror.sql"))
WRITERS_WITHIN_S = 10.0
PATIENCE = "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'"
WHOLE = frozenset(("int2", "int4", "int8"))
WORDS = frozenset(("text", "varchar", "uuid"))

Connection = psycopg.Connection[Any]
Texts = list[str | None]
Kind = Literal["missing", "extra", "changed"]
Outcome = Literal["mended", "overtaken"]


class Unsettled(Exception):
    """Nothing can be said for sure now; the sentence says why."""


class Finding(msgspec.Struct, frozen=True, tag_field="of", tag="row"):
    """
    One row that differs for sure. `source` and `sink` are digests of the row, None where there is
    none, since its values may be private; `position` is the one that the sink's row has.
    """

    table: str
    kind: Kind
    key: dict[str, str]
    columns: list[str]
    source: str | None
    sink: str | None
    position: Position | None

    @property
    def says(self) -> str:
        """What was found."""
        return f"a row is {self.kind}"

    @property
    def deed(self) -> str:
        """How the log calls what was done."""
        return "mended"

    @property
    def before(self) -> str | None:
        """What the log has of how it was."""
        return self.sink


class Sight(NamedTuple):
    """One row on both sides. `version` changes whenever the source's row is written."""

    ours: Texts | None
    version: list[str] | None
    theirs: Texts | None
    position: Position | None


class Mirror:
    """
    One table on both servers. `sink` is the name under which the worker keeps its marks. The
    connections must be outside a transaction at each call.
    """

    def __init__(
        self, source: Connection, target: Connection, table: str, sink: str, topic: str
    ) -> None:
        self.table = table
        self._source, self._target = source, target
        self._marks = [sink, topic]
        with snapshot(source):
            side = Side(source, table)
        with snapshot(target):
            (found,) = read_targets(target, [table]).values()
        self._columns = side.columns
        self._typname = {column.name: column.typname for column in found.key}

    def look(self, keys: Sequence[dict[str, str]]) -> list[Sight]:
        """
        The sink first. What it has applied by then is to be seen in the source, too: a commit is
        in the log before it is in a snapshot, so writers under way are waited for. Raises
        Unsettled.
        """
        with snapshot(self._target):
            theirs = [self._row(self._target, "sink_row", key) for key in keys]
        self._await_writers()
        with snapshot(self._source):
            ours = [self._row(self._source, "source_row", key) for key in keys]
        return [
            Sight(row, version, copy, at and Position(*at))
            for (row, version), (copy, at) in zip(ours, theirs, strict=True)
        ]

    def _await_writers(self) -> None:
        table = sql.Identifier(*self.table.split(".", 1)).as_string(None)
        if left := await_writers(self._source, table, WRITERS_WITHIN_S):
            raise Unsettled(
                f"{left} transaction(s) that write {self.table} do not end within"
                f" {WRITERS_WITHIN_S:.0f} s"
            )

    def mend(self, finding: Finding, log: Callable[[str | None], None]) -> Outcome:
        """
        In the open transaction of the target; it commits nothing. `overtaken`: the sink's row is
        not the one that was found any more, or is right by now. `log` is called before the act,
        with the digest that the sink's row will have. Raises psycopg.Error, Unsettled.
        """
        same_texts(self._target)
        self._target.execute(PATIENCE)
        held = self._target.execute(STATEMENTS["hold_marks"], self._marks).fetchall()
        if not held:
            raise Unsettled(f"the sink has no mark for {self.table}: start its worker first")
        theirs, at = self._row(self._target, "sink_row", finding.key)
        if (digest(theirs), at and Position(*at)) != (finding.sink, finding.position):
            return "overtaken"
        with snapshot(self._source):  # fresh: all that the sink has of this row is in it
            ours, _ = self._row(self._source, "source_row", finding.key)
        if ours == theirs:
            return "overtaken"
        log(digest(ours))
        if ours is None:
            self._delete(finding)
        elif theirs is None:
            floor = self._target.execute(STATEMENTS["floor"], [self.table]).fetchone()
            self._write("insert", finding, ours, *astuple(_beginning(held, floor)))
        else:
            self._write("update", finding, ours, *finding.key.values())
        return "mended"

    def _delete(self, finding: Finding) -> None:
        self._write("delete_row", finding, [], *finding.key.values())
        if (key := self._as_debezium(finding.key)) and finding.position:
            values = [self.table, key, *astuple(finding.position)]
            self._target.execute(STATEMENTS["bury_row"], values)

    def _as_debezium(self, key: dict[str, str]) -> str | None:
        """The key as in a tombstone; None for kinds of keys that it writes in ways of its own."""
        if len(key) > 1:
            return None
        ((name, text),) = key.items()
        typname = self._typname[name]
        if typname in WHOLE:
            return msgspec.json.encode({name: int(text)}).decode()
        return msgspec.json.encode({name: text}).decode() if typname in WORDS else None

    def _write(self, name: str, finding: Finding, values: Texts, *rest: Any) -> None:
        query = self._compose(name, self._target, finding.key)
        self._target.execute(query, [*values, *rest])

    def _row(self, connection: Connection, name: str, key: dict[str, str]) -> Any:
        query = self._compose(name, connection, key)
        return connection.execute(query, list(key.values())).fetchone() or (None, None)

    def _compose(self, name: str, connection: Connection, key: dict[str, str]) -> sql.Composed:
        comma, mark = sql.SQL(", "), [sql.Placeholder()]
        columns = [sql.Identifier(column) for column in self._columns]
        return sql.SQL(STATEMENTS[name]).format(
            table=sql.Identifier(*self.table.split(".", 1)),
            key=comma.join(map(sql.Identifier, key)),
            values=comma.join(mark * len(key)),
            columns=comma.join(columns),
            all_values=comma.join(mark * len(columns)),
            texts=comma.join(sql.SQL("{}::text").format(column) for column in columns),
        )

    def findings(self, keys: Sequence[dict[str, str]], before: Sequence[Sight]) -> list[Finding]:
        """
        Those that differ for sure. Between `before`, which is an earlier look, and now the sink has
        to have passed an LSN that was taken after it.
        """
        both = zip(keys, before, self.look(keys), strict=True)
        return [self._finding(key, new) for key, old, new in both if differs(old, new)]

    def _finding(self, key: dict[str, str], seen: Sight) -> Finding:
        kind: Kind = "changed"
        columns: list[str] = []
        if seen.ours is None or seen.theirs is None:
            kind = "missing" if seen.theirs is None else "extra"
        else:
            pairs = zip(self._columns, seen.ours, seen.theirs, strict=True)
            columns = [name for name, one, other in pairs if one != other]
        found = digest(seen.ours), digest(seen.theirs)
        return Finding(self.table, kind, key, columns, *found, seen.position)


def differs(before: Sight, after: Sight) -> bool:
    """
    Whether the sink's row is wrong, given that between both looks it has passed everything that
    was committed at the first: a row that was written on either side meanwhile is not judged.
    """
    rests = before.version == after.version and before.position == after.position
    return rests and after.ours != after.theirs


def digest(texts: Texts | None) -> str | None:
    """Of a row, in hexadecimal; None of none."""
    return None if texts is None else hashlib.sha256(msgspec.json.encode(texts)).hexdigest()


def _beginning(marks: Sequence[Sequence[int]], floor: Sequence[int] | None) -> Position:
    """
    For a row that the sink lacks: what it has of the topic for sure. The oldest of the partitions'
    marks, since in a slower one a later change of this row may still be on its way.
    """
    return max(min(Position(*mark) for mark in marks), Position(*floor) if floor else START)
