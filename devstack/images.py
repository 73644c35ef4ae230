"""Docker and the images of the stack: reached, named, and pulled where they are missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import docker
import docker.errors
from testcontainers.core.docker_client import DockerClient

from devstack.part import PartFailed, Progress

VERSIONS = Path(__file__).with_name("versions.env")
# The host in the client's own URL: a socket, a named pipe of Windows, or a port of this machine.
_HERE = ("localhost", "localnpipe", "127.0.0.1")


def image(name: str) -> str:
    """The image that versions.env has under this name, such as `KAFKA_IMAGE`."""
    lines = (line.partition("=") for line in VERSIONS.read_text().splitlines())
    named = {key: value for key, _, value in lines if not key.startswith("#")}
    return named[name]


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """
    A client of the Docker engine, whose errors inside become `PartFailed`.

    Raises it with the cause when none can be reached, or when it is on another machine, where
    what is published on loopback cannot be reached.
    """
    try:
        ours = DockerClient()
        ours.client.ping()
    except docker.errors.DockerException as error:
        why = f"cannot be reached ({error}). Start it, or see that you may use its socket."
        raise PartFailed("docker", why) from error
    try:
        if urlsplit(url := ours.client.api.base_url).hostname not in _HERE:
            why = f"is at {url}, and its ports on loopback are not ours: use one on this machine."
            raise PartFailed("docker", why)
        yield ours.client
    except docker.errors.APIError as error:
        raise PartFailed("docker", f"refused: {error.explanation or error}") from error
    finally:
        ours.client.close()


def pull_missing(client: docker.DockerClient, name: str, progress: Progress) -> None:
    """Pull the image if it is not here. Raises `PartFailed` when it cannot be had."""
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        progress("docker", f"pulling {name}")
        try:
            client.images.pull(name)
        except docker.errors.DockerException as error:
            why = f"has no image {name} and cannot pull it ({error})."
            raise PartFailed("docker", why) from error


def trouble() -> str | None:
    """Why Docker cannot be used here, in a sentence; None when it can."""
    try:
        with engine():
            return None
    except PartFailed as failed:
        return str(failed)
