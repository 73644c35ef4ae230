"""
How long the source can go on keeping its log for the slot. Pure.

Postgres drops what a slot needs once it would keep more than `max_slot_wal_keep_size`; then only a
new snapshot helps. Pausing a sink does not help: it is the connector that moves the slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.catalogue import Slot
from tailrace.watch.source_state import Sample
from tailrace.watch.view import Budget


@dataclass(frozen=True, slots=True)
class Limits:
    """From when little is left: less time than `…_s`, or less than that share of what may be."""

    warn_s: float = 4 * 3600.0
    warn_share: float = 0.25
    critical_s: float = 3600.0
    critical_share: float = 0.1


def budget(slot: Slot | None, window: Sequence[Sample], limits: Limits) -> Budget:
    """`written_per_s` is the log's growth in the window, whether or not the slot follows."""
    rate = _growth_per_s(window)
    if slot is None:
        return Budget(None, None, rate, None, None)
    kept, left = slot.retained_bytes, slot.safe_wal_bytes
    left_s = left / rate if left is not None and rate else None
    if kept is None or left is None:
        return Budget(kept, left, rate, left_s, None)
    share = left / (left + kept) if left + kept else 0.0
    is_critical = _is_short(left_s, share, limits.critical_s, limits.critical_share)
    is_short = is_critical or _is_short(left_s, share, limits.warn_s, limits.warn_share)
    warning = _warning(kept, left, left_s, is_critical) if is_short else None
    return Budget(kept, left, rate, left_s, warning, is_critical)


def _is_short(left_s: float | None, share: float, least_s: float, least_share: float) -> bool:
    return share < least_share or (left_s is not None and left_s < least_s)


def _warning(kept: int, left: int, left_s: float | None, is_critical: bool) -> str:
    how_long = f"{left_s / 3600:.1f} h at this pace" if left_s is not None else "idle for now"
    return (
        f"{'critical: ' if is_critical else ''}the slot keeps {kept >> 20:,} MiB of log,"
        f" {left >> 20:,} MiB before Postgres drops it ({how_long}): the connector must run, or"
        " raise max_slot_wal_keep_size; pausing a sink does not help"
    )


def _growth_per_s(window: Sequence[Sample]) -> float | None:
    known = [sample for sample in window if sample.position is not None]
    if len(known) < 2 or known[-1].at_s <= known[0].at_s:
        return None
    grown = (known[-1].position or 0) - (known[0].position or 0)
    return max(0.0, grown / (known[-1].at_s - known[0].at_s))
