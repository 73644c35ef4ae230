"""The chain in containers: changes arrive, workers come and go under load, nothing stays."""

import signal
import subprocess
import urllib.request
from collections.abc import Callable

import httpx
import msgspec
import pytest

from tailrace.harness.waits import eventually
from tests.containers.project import SECRETS, Project, run

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def chain(project_of: Callable[..., Project]) -> Project:
    project = project_of()
    project.up()
    return project


def test_changes_arrive(chain: Project) -> None:
    with chain.source() as source, chain.target() as target:

        def names() -> list[tuple[str]]:
            return target.execute("SELECT name FROM public.customers ORDER BY id").fetchall()

        insert = "INSERT INTO customers (id, email, name) VALUES (%s, 'a@example.com', %s)"
        source.execute(insert, (1, "Ann"))
        source.execute(insert, (2, "Bob"))
        eventually(lambda: names() == [("Ann",), ("Bob",)])
        source.execute("UPDATE customers SET name = 'Anna' WHERE id = 1")
        source.execute("DELETE FROM customers WHERE id = 2")
        eventually(lambda: names() == [("Anna",)])
        chain.wait_equal()
        target.execute("UPDATE public.customers SET name = 'Eve'")
        assert chain.verify().returncode == 1
        source.execute("DELETE FROM customers")
        eventually(lambda: names() == [])


def test_workers_come_and_go_under_load(chain: Project) -> None:
    chain.watch_effects()
    load = chain.load(rate=40, for_s=40)
    chain.up("--no-recreate", "--scale", "worker=3")
    assert len(chain.containers("worker")) == 3
    eventually(lambda: all(_partitions(chain, index) for index in (1, 2, 3)), 60)
    killed, told, _ = chain.containers("worker")
    assert run("docker", "kill", killed).returncode == 0
    assert _stopped_by(signal.SIGTERM, told) == 0
    assert load.poll() is None, load.communicate()
    chain.up("--no-recreate", "--scale", "worker=3")
    chain.ended(load)
    chain.wait_equal()
    chain.assert_each_effect_once()


def test_the_dashboard_shows_it_to_those_who_may_look(chain: Project) -> None:
    url = f"http://{chain.port('dashboard', 9480)}/api/v1/snapshot"
    assert httpx.get(url).status_code == 401
    viewer = {"authorization": f"Bearer {(SECRETS / 'viewer.token').read_text()}"}

    def state() -> str:
        found = httpx.get(url, headers=viewer).json()["pipelines"]
        return str(found[0]["verdict"]["state"]) if found else ""

    eventually(lambda: state() in ("IDLE", "OK"), 60)
    act = url.replace("snapshot", "pipelines/shop/acts/pause")
    assert httpx.post(act, json={}, headers=viewer).status_code == 403


def test_registering_again_changes_nothing(chain: Project) -> None:
    again = chain.compose("run", "--rm", "-T", "--no-deps", "register")
    assert again.returncode == 0, again.stderr
    assert "sink warehouse: 0 change(s) applied" in again.stderr
    assert "Connector shop runs: no changes." in again.stderr


def test_the_image_runs_as_nobody_in_particular(chain: Project) -> None:
    ask = "import os; print(os.getuid()); open('/etc/tailrace/x', 'w')"
    asked = chain.compose("exec", "-T", "worker", "python", "-c", ask)
    assert asked.stdout.strip() == "10001"
    assert "Read-only file system" in asked.stderr
    [_, *effective] = chain.must("exec", "-T", "worker", "grep", "CapEff", "/proc/1/status").split()
    assert effective == ["0" * 16]


def test_the_password_is_in_no_list_of_processes(chain: Project) -> None:
    done = chain.must("top") + run("docker", "inspect", *chain.containers("connect")).stdout
    with chain.source() as source:
        password = source.info.password
    assert "connect" in done
    assert password not in done


def test_down_leaves_nothing(chain: Project) -> None:
    assert chain.left_behind() != []
    chain.down()
    assert chain.left_behind() == []


def _partitions(chain: Project, index: int) -> int:
    url = f"http://{chain.port('worker', 8080, index)}/status.json"
    with urllib.request.urlopen(url, timeout=10) as answer:
        [status] = msgspec.json.decode(answer.read())
    return len(status["places"])


def _stopped_by(number: signal.Signals, container: str) -> int:
    """The exit code after that signal."""
    waiting = subprocess.Popen(["docker", "wait", container], stdout=subprocess.PIPE, text=True)
    assert run("docker", "kill", "-s", number.name, container).returncode == 0
    return int(waiting.communicate(timeout=60)[0])
