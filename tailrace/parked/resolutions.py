"""What has become of letters: rows of `tailrace.parked`, in the database of their sink."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from sinks import target
from tailrace.databases import Connection
from tailrace.parked.letter import Resolution

STATEMENTS = target.load_statements(Path(__file__).with_name("parked.sql"))


class Taken(Exception):
    """Somebody else has decided about a letter meanwhile."""


class Resolutions:
    """
    Of the letters of one topic: `group` is the name of the sink's offsets, `log` Kafka's id of the
    topic, so that one which was made anew begins with none.
    """

    def __init__(self, connection: Connection, group: str, log: str) -> None:
        self._connection = connection
        self.log = log
        self._of = (group, log)

    def are_kept(self) -> bool:
        """Whether there is a table for them."""
        row = self._connection.execute(STATEMENTS["is_there"]).fetchone()
        return row is not None and bool(row[0])

    def make_room(self) -> None:
        """The table, if it is not there. Raises psycopg.Error."""
        if not self.are_kept():
            self._connection.execute(STATEMENTS["make_alone"])
            self._connection.execute(target.STATEMENTS["parked"])

    def of(self, numbers: Collection[int]) -> dict[int, Resolution]:
        """Those of these letters that are resolved."""
        rows = self._connection.execute(STATEMENTS["resolutions"], [*self._of, list(numbers)])
        return {number: Resolution(*rest) for number, *rest in rows}

    def count(self, first: int, end: int) -> int:
        """How many of the numbers [first, end) are resolved."""
        query = STATEMENTS["count_resolved"]
        row = self._connection.execute(query, [*self._of, first, end]).fetchone()
        return 0 if row is None else int(row[0])

    def add(
        self,
        numbers: Collection[int],
        outcome: Literal["redriven", "discarded"],
        effect: Literal["written", "stale", "none"],
        by: tuple[str, str, int],
    ) -> None:
        """`by`: who, why, and the id of the action. Raises Taken; then go back to a savepoint."""
        values = [*self._of, outcome, effect, *by, list(numbers)]
        if self._connection.execute(STATEMENTS["resolve"], values).rowcount != len(numbers):
            raise Taken


def count_decided(connection: Connection, letters: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    """Of each group: how many letters of the topic of that id, from that number on."""
    row = connection.execute(STATEMENTS["is_there"]).fetchone() if letters else None
    if row is None or not row[0]:
        return {}
    logs, firsts = zip(*letters.values(), strict=True)
    rows = connection.execute(STATEMENTS["count_each"], [list(letters), list(logs), list(firsts)])
    return {group: count for group, count in rows}
