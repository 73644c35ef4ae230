"""Pages that list what the code has, held in step with it."""

from pathlib import Path

from consumer.metrics import ENDS, Status
from tailrace.doctor.examination import groups
from tailrace.health import Exposition
from tailrace.watch.metric_list import METRICS, OF_THE_DAEMON, OF_THE_PIPELINE
from tests.unit.test_doctor import PIPELINE

DOCS = Path(__file__).resolve().parents[2] / "docs"


def rows(page: str) -> list[list[str]]:
    """The cells of every line of a table."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]


def test_every_metric_of_the_daemon_is_listed_with_its_kind() -> None:
    exposed = {
        (f"{family.name}{'_total' if family.type == 'counter' else ''}", family.type)
        for family in Exposition(lambda: [Status("mirror")]).collect()
    }
    assert {(metric.name, metric.kind) for metric in OF_THE_DAEMON} == exposed


def test_every_metric_is_explained_as_it_is_listed() -> None:
    listed = [(f"`{m.name}`", m.kind, m.unit, m.meaning) for m in METRICS]
    told = [tuple(row[:4]) for row in rows("metrics.md") if row[0][:9] == "`tailrace"]
    assert told == listed
    of_pipeline = [row[4] for row in rows("metrics.md") if len(row) == 5][2:]
    assert of_pipeline == [", ".join(f"`{x}`" for x in m.labels) for m in OF_THE_PIPELINE]


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
