"""What in one database waits for somebody, in numbers; cheap enough to be asked each second."""

from pathlib import Path
from typing import Any

import msgspec
import psycopg

from sagas import log
from sinks.target import load_statements
from supervision.stuck import OVERDUE_S

STATEMENTS = load_statements(Path(__file__).with_name("waiting.sql"))
PAGE_ROWS = 200
Connection = psycopg.Connection[Any]


class Waiting(msgspec.Struct, frozen=True):
    """
    Sagas that are parked, and that are overdue; proposals that wait for a person's word; breaks of
    the log's chain. None: not known, or there are no such tables.
    """

    parked: int | None = None
    overdue: int | None = None
    proposals: int | None = None
    breaks: int | None = None


class Walk:
    """The chain of one log, looked at a page at a time, round after round."""

    def __init__(self) -> None:
        self._known: int | None = None
        self._begin()

    def _begin(self) -> None:
        self._seq, self._chain, self._found = 0, b"", 0

    def step(self, tx: Connection) -> int | None:
        """Breaks in the last round, or so far in this one; None where none was ended yet."""
        page = log.page(tx, self._seq, PAGE_ROWS)
        for row in page:
            self._found += any(log.breaks(self._seq, self._chain, row))
            self._seq, self._chain = row.seq, row.hash
        if len(page) < PAGE_ROWS:
            self._known = self._found
            self._begin()
        return max(self._known or 0, self._found) if self._found else self._known


def look(tx: Connection, walk: Walk) -> Waiting:
    """On a connection in autocommit mode. Raises psycopg.Error, but not for want of rights."""
    try:
        return _look(tx, walk)
    except psycopg.errors.InsufficientPrivilege:
        return Waiting()


def _look(tx: Connection, walk: Walk) -> Waiting:
    found = tx.execute(STATEMENTS["there"]).fetchone()
    assert found is not None
    has_sagas, has_proposals, has_log = found
    parked = overdue = proposals = None
    if has_sagas:
        parked, overdue = tx.execute(STATEMENTS["stand_still"], [OVERDUE_S]).fetchone() or (0, 0)
    if has_proposals:
        (proposals,) = tx.execute(STATEMENTS["undecided"]).fetchone() or (0,)
    return Waiting(parked, overdue, proposals, walk.step(tx) if has_log else None)
