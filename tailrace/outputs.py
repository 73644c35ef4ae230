"""What commands print with --json where it is no type of the code that they call."""

from typing import Any, Literal

import msgspec

from connectors.catalogue import Slot
from connectors.errors import Finding
from connectors.operate import Part
from connectors.plan import Change
from eventstore.check import Found
from sagas.log import Break
from tailrace.lag import Row, SourceRow
from tailrace.verify import Difference as RowDifference


class Setting(msgspec.Struct):
    """With --origin: a value of the pipeline's file, and where it came from."""

    value: Any
    origin: str


class ConnectorPlan(msgspec.Struct):
    """What source and Connect still need, and what speaks against it."""

    changes: list[Change]
    findings: list[Finding]


class ConnectorStatus(msgspec.Struct):
    """
    A connector as it is now. `drift` are settings that differ from ours, `position` the LSN from
    which it would go on, as a number; `beat_age_ms` since it last proved that it streams.
    """

    healthy: bool
    name: str
    state: str
    lossless: bool
    parts: list[Part]
    drift: list[Change]
    slot: Slot | None
    position: int | None
    beat_age_ms: int | None
    findings: list[Finding]


class Examined(msgspec.Struct):
    """One check; `fix` is a command or statement to copy, or null."""

    group: str
    check: str
    state: Literal["ok", "warning", "failed", "unknown"]
    sentence: str
    fix: str | None


class Doctor(msgspec.Struct):
    """All checks in the order of a change's way, and how many failed."""

    checks: list[Examined]
    failed: int


class Demo(msgspec.Struct):
    """What a run came to. `records` counts by how they ended; `equal` is the proof."""

    transactions: int
    transactions_per_s: float
    drained_in_s: float
    records: dict[str, int]
    rows_equal: int
    rows_differing: int
    equal: bool


class Lag(msgspec.Struct):
    """
    `sinks` has an entry for each partition of each sink. `unknown` are reasons why something is
    not known, `late` sentences on what is later than `max_lag_s`; `ok`: there are none of either.
    """

    sinks: list[Row]
    source: SourceRow
    max_lag_s: float | None
    unknown: list[str]
    late: list[str]
    ok: bool


class StackAddresses(msgspec.Struct):
    """Where the servers answer, without passwords."""

    kafka: str
    connect: str
    postgres_source: str
    postgres_target: str
    redis: str


class StackPart(msgspec.Struct):
    """A server of the stack: process id while it runs, and whether it serves requests."""

    part: str
    pid: int | None
    port: int
    answers: bool


class Compared(msgspec.Struct):
    """One table; `problem` is a sentence where it could not be compared, else empty."""

    equal: bool
    table: str
    source_rows: int
    target_rows: int
    missing: int
    extra: int
    changed: int
    differences: list[RowDifference]
    seconds: float
    problem: str


class ContractsCheck(msgspec.Struct):
    """
    The contracts in the code held against the catalogue. `notes` are sentences on what could not be
    tried; `ok`: there are no problems.
    """

    source: str
    events: list[str]
    problems: list[Found]
    notes: list[str]
    ok: bool


class Pruned(msgspec.Struct):
    """Days of the outbox that had rows, and now have none."""

    emptied_days: int


class TopicOfLog(msgspec.Struct):
    """
    `begins_at_line`: the first that was published; null where none was. `behind_lines`: how many at
    the end were not published yet.
    """

    begins_at_line: int | None
    behind_lines: int


class LogVerified(msgspec.Struct):
    """Whether each line of the log of sagas is what and where it was when it was written."""

    ok: bool
    lines: int
    breaks: list[Break]
    topic: TopicOfLog | None
    """Null where the topic was not asked for."""


class SagasCheck(msgspec.Struct):
    """What is wrong with sagas as they are written, and whose events each participant reads."""

    ok: bool
    wrong: list[str]
    hears: dict[str, dict[str, list[str]]]
