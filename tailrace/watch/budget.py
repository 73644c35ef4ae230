"""
How long the source can go on keeping its log for the slot. Pure.

Postgres drops what a slot needs once it would keep more than `max_slot_wal_keep_size`; then only a
new snapshot helps. Pausing a sink does not help: it is the connector that moves the slot.
"""

from collections.abc import Sequence

from connectors.catalogue import Slot
from tailrace.watch.source_state import Sample
from tailrace.watch.view import Budget

WARN_LEFT_S = 4 * 3600.0
WARN_LEFT_SHARE = 0.25


def budget(slot: Slot | None, window: Sequence[Sample]) -> Budget:
    """`written_per_s` is the log's growth in the window, whether or not the slot follows."""
    rate = _growth_per_s(window)
    if slot is None:
        return Budget(None, None, rate, None, None)
    kept, left = slot.retained_bytes, slot.safe_wal_bytes
    left_s = left / rate if left is not None and rate else None
    return Budget(kept, left, rate, left_s, _warning(kept, left, left_s))


def _warning(kept: int | None, left: int | None, left_s: float | None) -> str | None:
    if left is None or kept is None:
        return None
    is_short = left < WARN_LEFT_SHARE * (left + kept)
    if not is_short and (left_s is None or left_s > WARN_LEFT_S):
        return None
    how_long = f"{left_s / 3600:.1f} h at this pace" if left_s is not None else "idle for now"
    return (
        f"the slot keeps {kept >> 20:,} MiB of log, {left >> 20:,} MiB before Postgres drops it"
        f" ({how_long}): get the connector to run, or raise max_slot_wal_keep_size"
    )


def _growth_per_s(window: Sequence[Sample]) -> float | None:
    known = [sample for sample in window if sample.position is not None]
    if len(known) < 2 or known[-1].at_s <= known[0].at_s:
        return None
    grown = (known[-1].position or 0) - (known[0].position or 0)
    return max(0.0, grown / (known[-1].at_s - known[0].at_s))
