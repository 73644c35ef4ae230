"""
The state of a pipeline in one word, from one look at what `tailrace lag` reads and at Connect.

Words that take a history of looks (STALLED, CATCHING UP) are not among them.
"""

from collections.abc import Sequence

from tailrace.lag import Row, SourceRow, unknowns

STATES = ("FAILED", "STOPPED", "PAUSED", "SNAPSHOT", "UNKNOWN", "BEHIND", "OK")
"""The worst first, as they are judged."""


def state(rows: Sequence[Row], source: SourceRow, connector: Sequence[str]) -> str:
    """`connector` are the states of the connector and its tasks, in Connect's words."""
    for word in ("FAILED", "STOPPED", "PAUSED"):
        if word in connector:
            return word
    if any(row.is_snapshot for row in rows):
        return "SNAPSHOT"
    if not connector or unknowns(rows, source):
        return "UNKNOWN"
    return "BEHIND" if any(row.behind_records for row in rows) else "OK"
