"""
Whoever may be committing: a commit is in the log before it is in a snapshot, by as long as it waits
for a standby. Who compares both has to wait for its end.
"""

import time
from pathlib import Path
from threading import Event

from sinks.marks import Connection
from sinks.target import load_statements

STATEMENTS = load_statements(Path(__file__).with_suffix(".sql"))
LOOK_EVERY_S = 0.02
pause = Event().wait


def await_writers(connection: Connection, table: str, within_s: float) -> int:
    """
    Until all who write `table`, a name as SQL has it, at the beginning have ended; how many have
    not within this time. The connection must be outside a transaction.
    """
    until_s = time.monotonic() + within_s
    open_ = _writers(connection, table)
    while open_ and time.monotonic() <= until_s:
        pause(LOOK_EVERY_S)
        open_ &= _writers(connection, table)
    return len(open_)


def _writers(connection: Connection, table: str) -> set[str]:
    with connection.transaction():
        return {row[0] for row in connection.execute(STATEMENTS["writers"], [table])}
