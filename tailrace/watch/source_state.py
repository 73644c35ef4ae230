"""The state of the way from the database's log into Kafka: slot, connector, heartbeat. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tailrace.watch.states import State, Verdict, is_news, silence, unknown


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One look at the way from the database's log into Kafka.

    `connector` and `tasks` are Connect's words (RUNNING, PAUSED, FAILED …), `trace` the cause
    why a task failed. `overdue_s` is how late the next heartbeat is in Kafka; `position` is the
    LSN at the end of the log.
    """

    at_s: float
    connector: str | None = None
    tasks: tuple[str, ...] = ()
    trace: str = ""
    has_slot: bool | None = None
    wal_status: str | None = None
    is_read: bool | None = None
    position: int | None = None
    overdue_s: float | None = None
    has_beaten: bool = True
    has_connector: bool | None = None
    is_snapshot: bool = False
    unknown: str | None = None


def judge(window: Sequence[Sample], now_s: float, *, interval_s: float) -> Verdict:
    """The state of slot, connector and the way into Kafka."""
    last = window[-1] if window else None
    if last is None or not is_news(last.at_s, now_s, interval_s):
        return unknown(silence(last.at_s if last else None, now_s))
    rules: tuple[Callable[[Sample], Verdict | None], ...] = (
        _not_registered,
        _slot_lost,
        _task_failed,
        _connector_paused,
        _unread,
        _not_known,
        _snapshot,
        _no_beat,
    )
    for rule in rules:
        if verdict := rule(last):
            return verdict
    return Verdict(State.OK, "heartbeats of the source arrive in Kafka")


def _not_registered(last: Sample) -> Verdict | None:
    if last.has_connector is not False:
        return None
    return Verdict(State.FAILED, "Connect has no such connector", "`tailrace connector apply`")


def _task_failed(last: Sample) -> Verdict | None:
    failed = last.tasks.count("FAILED")
    if last.connector == "FAILED" or failed:
        what = f"{failed} of {len(last.tasks)} task(s) failed" if failed else "the connector failed"
        return Verdict(
            State.FAILED,
            f"{what}: {last.trace or 'Connect gives no reason'}",
            "mend the reason, then `tailrace connector restart`",
        )
    if last.connector in ("STOPPED", "UNASSIGNED") or (
        last.connector == "RUNNING" and not last.tasks
    ):
        return Verdict(
            State.STOPPED,
            f"the connector is {last.connector} and has no task",
            "`tailrace connector resume`",
        )
    if any(state not in ("RUNNING", "PAUSED") for state in last.tasks):
        waits = f"not every task runs: {', '.join(last.tasks)}"
        return Verdict(State.STOPPED, waits, "`tailrace connector status`")
    return None


def _slot_lost(last: Sample) -> Verdict | None:
    if last.has_slot is False:
        return Verdict(
            State.FAILED,
            "the source has no replication slot, so changes are not kept",
            "`tailrace connector status` says how to begin anew",
        )
    if last.wal_status == "lost":
        return Verdict(
            State.FAILED,
            "the slot has lost the log that it needs (max_slot_wal_keep_size)",
            "a new snapshot: `tailrace connector status` says how",
        )
    return None


def _connector_paused(last: Sample) -> Verdict | None:
    if last.connector != "PAUSED":
        return None
    return Verdict(
        State.PAUSED,
        "the connector is paused; the source keeps its log meanwhile",
        "`tailrace connector resume`",
    )


def _unread(last: Sample) -> Verdict | None:
    if last.is_read is not False:
        return None
    also = f"; {last.unknown}" if last.unknown else ""
    return Verdict(
        State.STOPPED, f"nobody reads the replication slot{also}", "`tailrace connector status`"
    )


def _not_known(last: Sample) -> Verdict | None:
    return None if last.unknown is None else unknown(last.unknown)


def _snapshot(last: Sample) -> Verdict | None:
    if not last.is_snapshot:
        return None
    return Verdict(State.SNAPSHOT, "rows of a snapshot are on their way; changes come after them")


def _no_beat(last: Sample) -> Verdict | None:
    if not last.has_beaten:
        return unknown("no heartbeat of the source has come into Kafka yet")
    if last.overdue_s is None or last.overdue_s <= 0:
        return None
    return Verdict(
        State.STALLED,
        f"the next heartbeat is {last.overdue_s:.0f} s overdue in Kafka",
        "`tailrace connector status`; a long transaction at the source also holds it up",
    )
