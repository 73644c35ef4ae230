"""What a check is, and what it says."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from connectors.errors import Finding

PLAN = "tailrace connector plan"  # names each thing that is in the way, and the way out
SNAPSHOT_ANEW = "tailrace connector delete --drop-slot; tailrace connector apply"

State = Literal["ok", "warning", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, why, and what mends it: a command or statement to copy, or a sentence."""

    state: State
    sentence: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """
    One precondition. `judge` is given the facts named in `needs`, in this order, and is not asked
    when one of them could not be learned.
    """

    name: str
    needs: tuple[str, ...]
    judge: Callable[..., Iterable[Verdict]]


@dataclass(frozen=True, slots=True)
class Line:
    """A verdict with the group and the name of its check."""

    group: str
    check: str
    state: State
    sentence: str
    fix: str = ""


def ok(sentence: str) -> Verdict:
    """Nothing to do."""
    return Verdict("ok", sentence)


def warning(sentence: str, fix: str = "") -> Verdict:
    """It works, but not as well or as surely as it should."""
    return Verdict("warning", sentence, fix)


def failed(sentence: str, fix: str = "") -> Verdict:
    """It does not work, or loses changes."""
    return Verdict("failed", sentence, fix)


def unknown(sentence: str, fix: str = "") -> Verdict:
    """It could not be learned."""
    return Verdict("unknown", sentence, fix)


def told(findings: Iterable[Finding], codes: Iterable[str] = (), fix: str = PLAN) -> list[Verdict]:
    """Findings of `connectors` (those with one of `codes`, if any are given) as verdicts."""
    wanted = frozenset(codes)
    return [
        Verdict("failed" if found.blocks else "warning", f"{found.sentence} [{found.code}]", fix)
        for found in findings
        if not wanted or found.code in wanted
    ]


def some(names: Sequence[str], most: int = 3) -> str:
    """The names, or the first few and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def size(count: int) -> str:
    """Bytes as a person reads them."""
    for unit, shift in (("GiB", 30), ("MiB", 20)):
        if count >= 1 << shift:
            return f"{count / (1 << shift):,.1f} {unit}"
    return f"{count / 1024:,.1f} KiB"
