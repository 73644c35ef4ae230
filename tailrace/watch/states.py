"""One word for how something is, with its reason, and how several make one. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

WINDOW = 10  # samples that a verdict rests on
STALE_INTERVALS = 3  # telemetry older than this is no telemetry


class State(StrEnum):
    """Worst first: this is also the order in which pages and tables sort."""

    FAILED = "FAILED"
    BLOCKED = "BLOCKED"
    REWOUND = "REWOUND"
    STOPPED = "STOPPED"
    STALLED = "STALLED"
    UNKNOWN = "UNKNOWN"
    BEHIND = "BEHIND"
    DEGRADED = "DEGRADED"
    PAUSED = "PAUSED"
    SNAPSHOT = "SNAPSHOT"
    CATCHING_UP = "CATCHING UP"
    IDLE = "IDLE"
    OK = "OK"

    @property
    def badness(self) -> int:
        """Higher is worse; OK is 0."""
        return _BADNESS[self]

    @property
    def is_wrong(self) -> bool:
        """Whether somebody should look."""
        return self.badness >= State.DEGRADED.badness

    @property
    def wants_a_word(self) -> bool:
        """Whether its reason should be told: what somebody paused is not wrong, yet worth it."""
        return self.is_wrong or self is State.PAUSED


_BADNESS = {state: badness for badness, state in enumerate(reversed(State))}


class Verdict(msgspec.Struct, frozen=True):
    """
    `reason` says what was seen, `todo` the next step, empty if there is none. `since_s` is seconds
    since 1970, on the sampler's clock; `eta_s` how long until it has caught up at this pace.
    """

    state: State
    reason: str
    todo: str = ""
    since_s: float = 0.0
    eta_s: float | None = None


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The one to show for all of them; IDLE only if all are. UNKNOWN of nothing."""
    found = sorted(verdicts, key=lambda verdict: (-verdict.state.badness, verdict.since_s))
    if not found:
        return unknown("there is nothing to judge")
    first = found[0]
    if first.state is State.IDLE and any(v.state is State.OK for v in found):
        return next(v for v in found if v.state is State.OK)
    if first.state is State.DEGRADED:  # each has a cause of its own
        return _together([v for v in found if v.state is State.DEGRADED])
    return first


def _together(verdicts: Sequence[Verdict]) -> Verdict:
    reasons = dict.fromkeys(verdict.reason.rstrip(".") for verdict in verdicts)
    todos = dict.fromkeys(verdict.todo for verdict in verdicts if verdict.todo)
    return msgspec.structs.replace(verdicts[0], reason="; ".join(reasons), todo="; ".join(todos))


def continued(verdict: Verdict, before: Verdict | None, now_s: float) -> Verdict:
    """With the time since when it has been so."""
    same = before is not None and before.state is verdict.state
    return msgspec.structs.replace(verdict, since_s=before.since_s if same and before else now_s)


def unknown(why: str) -> Verdict:
    """For this reason nothing can be said."""
    return Verdict(State.UNKNOWN, why, "see what the reason names; `tailrace doctor` checks it all")


def is_news(at_s: float | None, now_s: float, interval_s: float) -> bool:
    """Whether it was heard of late; what seems to come later is from before a clock was set."""
    return at_s is not None and abs(now_s - at_s) <= STALE_INTERVALS * interval_s


def silence(at_s: float | None, now_s: float) -> str:
    """How long nothing has been heard; None: ever."""
    if at_s is None:
        return "nothing has been heard yet"
    if at_s > now_s:
        return "nothing has been heard since the clock was set"
    return f"nothing has been heard for {now_s - at_s:.0f} s"
