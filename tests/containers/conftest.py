"""An engine with the images and the secrets, or the reason why there is none."""

import shutil
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.containers.project import BASE, Project, run, versions


@pytest.fixture(scope="session")
def compose_files() -> None:
    """`docker compose` is there, and the secrets are made."""
    if shutil.which("docker") is None or run("docker", "compose", "version").returncode:
        pytest.skip("docker compose (version 2) is not installed")
    assert run("deploy/secrets").returncode == 0


@pytest.fixture(scope="session")
def engine(compose_files: None) -> None:
    """An engine that answers and has the images, ours built from this checkout."""
    answer = run("docker", "version", "--format", "{{.Server.Version}}")
    if answer.returncode:
        pytest.skip(f"no Docker engine answers: {answer.stderr.strip()[-200:]}")
    for image in versions().values():
        if run("docker", "image", "inspect", image).returncode:
            pytest.skip(f"the engine lacks the image {image}: `docker compose pull` gets it")
    built = run("docker", "compose", "build", "worker", timeout_s=500)
    assert built.returncode == 0, built.stderr[-2000:]


@pytest.fixture(scope="module")
def project_of(engine: None) -> Iterator[Callable[..., Project]]:
    """Makes a project of the given compose files; nothing of it stays."""
    made: list[Project] = []

    def make(files: Sequence[str] = (BASE,)) -> Project:
        made.append(Project(files))
        return made[-1]

    yield make
    for project in made:
        project.down()
