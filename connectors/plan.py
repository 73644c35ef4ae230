"""A plan: what would be changed, and what forbids or qualifies it. Values only."""

from dataclasses import dataclass
from typing import Literal

from connectors.errors import Finding


@dataclass(frozen=True, slots=True)
class Change:
    """
    One step. `sql` is executed exactly as shown; a setting has `before` and `after` instead
    (secrets starred). `why` says what it is for and, where there is one, its price.
    """

    action: Literal["create", "alter", "drop"]
    subject: str
    why: str = ""
    sql: str = ""
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order in which they are applied. Empty: what runs is what is wanted."""

    changes: tuple[Change, ...]
    findings: tuple[Finding, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes) or self.blocked

    @property
    def blocked(self) -> bool:
        """Whether a finding forbids applying any of it."""
        return any(finding.blocks for finding in self.findings)

    def __add__(self, other: "Plan") -> "Plan":
        return Plan(self.changes + other.changes, self.findings + other.findings)
