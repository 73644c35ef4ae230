"""The steps of a record's way and how long each took, put right for clocks that differ. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from consumer.event import Record
from consumer.settled import Settled
from tailrace.trace.view import Moment

SKEW_SHOWN_S = 0.05  # less below zero is how coarsely clocks are read
UNTIL_BOOKED = ("polled", "sifted", "applied", "acknowledged")


class _Source(msgspec.Struct):
    ts_us: int | None = None
    snapshot: str | bool | None = None
    txId: int | None = None


class Envelope(msgspec.Struct):
    """What a record says of its times; times are microseconds since 1970."""

    ts_us: int | None = None
    source: _Source = msgspec.field(default_factory=_Source)

    @property
    def is_snapshot(self) -> bool:
        """Then the source's time is that of the snapshot, not of a commit."""
        return str(self.source.snapshot).lower() not in ("none", "false")


def envelope(record: Record) -> Envelope:
    """Empty for what is no envelope."""
    try:
        return msgspec.json.decode(record.value or b"{}", type=Envelope)
    except (msgspec.MsgspecError, RecursionError):
        return Envelope()


Clocks = Mapping[str, float]
"""By how many seconds the clocks of source and connect are ahead, where that is worth it."""


def until_kafka(record: Record, ahead_s: Clocks) -> tuple[Moment, ...]:
    """Committed, decoded by Debezium, appended to the topic."""
    said = envelope(record)
    first = "in the snapshot" if said.is_snapshot else "committed"
    return follow(
        [
            (first, "source", _seconds(said.source.ts_us)),
            ("decoded", "connect", _seconds(said.ts_us)),
            ("appended", "connect", record.timestamp_ms / 1000),
        ],
        ahead_s,
    )


def until_booked(batch: Settled, before: Sequence[Moment], ahead_s: Clocks) -> tuple[Moment, ...]:
    """What the worker did, from the step `before` on."""
    times = (batch.polled_at_s, batch.planned_at_s, batch.applied_at_s, batch.acked_at_s)
    steps = [(name, "worker", at_s) for name, at_s in zip(UNTIL_BOOKED, times, strict=True)]
    return follow(steps, ahead_s, before)


def follow(
    steps: Iterable[tuple[str, str, float | None]], ahead_s: Clocks, before: Sequence[Moment] = ()
) -> tuple[Moment, ...]:
    """Each step's time, and since the one before whose time is known."""
    moments: list[Moment] = []
    last_s = next((m.at_s for m in reversed(before) if m.at_s is not None), None)
    for name, clock, said_s in steps:
        at_s = None if said_s is None else said_s - ahead_s.get(clock, 0.0)
        after_s = None if at_s is None or last_s is None else at_s - last_s
        is_skewed = after_s is not None and after_s < -SKEW_SHOWN_S
        after_s = None if after_s is None else max(0.0, after_s)
        moments.append(Moment(name, clock, at_s, after_s, is_skewed))
        last_s = last_s if at_s is None else at_s
    return tuple(moments)


def _seconds(us: int | None) -> float | None:
    return us / 1e6 if us else None
