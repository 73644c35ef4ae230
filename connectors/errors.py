"""What can go wrong, each with a stable code. `TR-CON` is Kafka Connect, `TR-SRC` the source."""

from collections.abc import Iterable
from dataclasses import dataclass

CONNECT_ABSENT = "TR-CON-001"
PLUGIN_MISSING = "TR-CON-002"
SETTINGS_REFUSED = "TR-CON-003"
TASK_FAILED = "TR-CON-004"
NOT_RUNNING_YET = "TR-CON-005"
CONNECTOR_UNKNOWN = "TR-CON-006"
CONNECT_BUSY = "TR-CON-007"
SPEC_INVALID = "TR-CON-008"
CONNECT_ANSWER = "TR-CON-009"

SOURCE_ABSENT = "TR-SRC-001"
LOGIN_REFUSED = "TR-SRC-002"
WAL_LEVEL = "TR-SRC-003"
NO_REPLICATION_RIGHT = "TR-SRC-004"
NO_SELECT_RIGHT = "TR-SRC-005"
TABLE_MISSING = "TR-SRC-006"
KEYLESS_TABLE = "TR-SRC-007"
COLUMN_TYPE = "TR-SRC-008"
PUBLICATION_TAKEN = "TR-SRC-009"
SLOT_TAKEN = "TR-SRC-010"
SLOT_WRONG = "TR-SRC-011"
SLOT_LOST = "TR-SRC-012"
SLOT_GAP = "TR-SRC-013"
NO_CHANGE_RIGHT = "TR-SRC-014"
SLOTS_EXHAUSTED = "TR-SRC-015"
LOCKED = "TR-SRC-016"
SOURCE_WENT_BACK = "TR-SRC-017"
SOURCE_STATEMENT = "TR-SRC-018"


class ConnectorError(Exception):
    """What went wrong, why, and the next step; `code` is stable and explained in the docs."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a plan or a status has to say; `blocks` when nothing may be applied before."""

    code: str
    sentence: str
    blocks: bool = True


def refuse_blocked(findings: Iterable[Finding]) -> None:
    """Raise ConnectorError with the first blocking finding, and how many more there are."""
    blocking = [finding for finding in findings if finding.blocks]
    if blocking:
        more = f" ({len(blocking) - 1} more in the plan.)" if len(blocking) > 1 else ""
        raise ConnectorError(blocking[0].code, blocking[0].sentence + more)
