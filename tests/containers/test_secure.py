"""compose.secure.yml: the pipeline works, and nobody is let in without TLS and the password."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tailrace.harness.waits import eventually
from tests.containers.project import BASE, ROOT, SECURE, Project, long_run_only, run

PROBE = Path(__file__).with_name("probe.py")

pytestmark = [
    pytest.mark.timeout(1200),
    long_run_only,
]


@pytest.fixture(scope="module")
def chain(project_of: Callable[..., Project]) -> Project:
    assert run("deploy/certificates").returncode == 0
    project = project_of((BASE, SECURE))
    project.up()
    return project


def test_only_those_with_tls_and_the_password_are_let_in(chain: Project) -> None:
    done = subprocess.run(
        chain.words("exec", "-T", "worker", "python", "-"),
        input=PROBE.read_text(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = msgspec.json.decode(done.stdout, type=dict[str, str])
    assert {who for who, answer in answers.items() if answer == "ok"} == {
        "redis",
        "postgres",
        "kafka",
    }
    assert len(answers) == 11


def test_the_load_arrives_encrypted(chain: Project) -> None:
    chain.watch_effects()
    chain.ended(chain.load(rate=40, for_s=15))
    chain.wait_equal()
    chain.assert_each_effect_once()
    with chain.source() as source:
        query = "SELECT bool_and(ssl) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)"
        assert source.execute(query).fetchone() == (True,)
    asked = chain.must("exec", "-T", "worker", "tailrace", "lag", "--json")
    assert "?" not in asked


def test_the_keys_are_used(chain: Project) -> None:
    """Redis is reached, too: its absence would go unnoticed, since the sink's guards carry on."""
    ask = "import redis; from pathlib import Path;"
    ask += "url = Path('/run/secrets/redis.url').read_text().strip();"
    ask += "print(redis.Redis.from_url(url).dbsize())"

    def keys() -> int:
        return int(chain.must("exec", "-T", "worker", "python", "-c", ask))

    eventually(lambda: keys() > 0)
