"""Pages that list what the code has, held in step with it."""

from pathlib import Path

from consumer.metrics import ENDS, Status
from tailrace.doctor.examination import groups
from tailrace.health import Exposition
from tests.unit.test_doctor import PIPELINE

DOCS = Path(__file__).resolve().parents[2] / "docs"


def rows(page: str) -> list[list[str]]:
    """The cells of every line of a table."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]


def test_every_metric_is_explained_with_its_kind() -> None:
    exposed = {
        (f"`{family.name}{'_total' if family.type == 'counter' else ''}`", family.type)
        for family in Exposition(lambda: [Status("mirror")]).collect()
    }
    assert {(row[0], row[1]) for row in rows("metrics.md") if row[0][:9] == "`tailrace"} == exposed


def test_every_way_to_end_is_explained() -> None:
    _, _, *explained = [row[0].strip("`") for row in rows("metrics.md") if len(row) == 2]
    assert tuple(explained) == ENDS


def test_every_check_of_the_doctor_is_listed() -> None:
    checks = [
        (group.title.split()[0], check.name) for group in groups(PIPELINE) for check in group.checks
    ]
    listed = [(row[0], row[1]) for row in rows("operations.md") if len(row) == 3]
    servers = {server for server, _ in checks}
    assert [pair for pair in listed if pair[0] in servers] == checks
