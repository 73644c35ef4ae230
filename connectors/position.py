"""
Where a connector would go on, and whether the source still has everything from there. Pure.

The rule of the lossless connector, once more in Python for connectors that run without it.
"""

from collections.abc import Mapping
from typing import Any

from connectors.catalogue import Slot
from connectors.errors import SLOT_GAP, SOURCE_WENT_BACK, Finding

FILTER_KEYS = ("lsn_proc", "lsn_events_processed", "messageType")
"""The keys of a stored offset that switch Debezium's resume filter on."""


FORGOTTEN: Mapping[str, Any] = {
    "snapshot": "INITIAL",
    "snapshot_completed": False,
    "last_snapshot_record": False,
    "lsn": 0,
    "ts_usec": 0,
}
"""
An offset that stands for none: a first snapshot that never got anywhere. Connect 4.3 cannot delete
offsets of a topic of their own when its worker runs exactly-once; it can replace them.
"""


def at_last_commit(offset: Mapping[str, Any]) -> dict[str, Any]:
    """
    The offset moved back to the end of the last completely sent transaction, filter off.

    One inside a snapshot is left as it is: Debezium decides by it whether to start over.
    """
    if "snapshot" in offset:
        return dict(offset)
    moved = {key: value for key, value in offset.items() if key not in FILTER_KEYS}
    if moved.get("lsn_commit") is not None:
        moved["lsn"] = moved["lsn_commit"]
    return moved


def resumes_at(offset: Mapping[str, Any]) -> int | None:
    """The LSN from which changes are needed; None inside a snapshot, or when none is stored."""
    if "snapshot" in offset and not offset.get("snapshot_completed"):
        return None
    position = at_last_commit(offset).get("lsn")
    return None if position is None else int(position)


def gap(slot_name: str, slot: Slot | None, offset: Mapping[str, Any], wal: int) -> Finding | None:
    """
    What the source no longer has of what the connector needs.

    Read the slot first, then the offset, then the log's position: each only grows, and the
    connector confirms to the slot only what is stored.
    """
    position = resumes_at(offset)
    if position is None:
        return None
    again = (
        " Delete the connector with its slot, apply again, and let it take a new snapshot;"
        " rows deleted meanwhile show in verify."
    )
    if slot is None:
        return Finding(
            SLOT_GAP, f"The slot {slot_name} is gone, and with it undelivered changes.{again}"
        )
    if slot.confirmed is not None and slot.confirmed > position:
        return Finding(
            SLOT_GAP,
            f"The slot {slot_name} starts at {lsn(slot.confirmed)}, after {lsn(position)} where"
            " the connector stopped: it was made anew or advanced, and the changes in between"
            f" were not delivered.{again}",
        )
    if position > wal:
        return Finding(
            SOURCE_WENT_BACK,
            f"The connector has delivered up to {lsn(position)}, but the source's log ends at"
            f" {lsn(wal)}: the database was restored or failed over to an earlier state.{again}",
        )
    return None


def lsn(position: int) -> str:
    """As Postgres writes it: `16/B374D848`."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
