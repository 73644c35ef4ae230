"""The stack as containers, from the images that versions.env names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import docker.errors

from devstack import probes
from devstack.endpoints import SECRETS, Endpoints
from devstack.folder import PARTS, StackFolder
from devstack.images import engine, pull_missing
from devstack.part import PartFailed, Progress, silent
from devstack.servers import (
    PLUGIN,
    ConnectContainer,
    KafkaContainer,
    PostgresContainer,
    RedisContainer,
    ServerContainer,
    await_answer,
    log_tail,
)
from devstack.settings import POSTGRES

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

FOLDER_LABEL = "tailrace.folder"
"""Label of each container, network and volume: the folder of its stack."""
_STOP_TIMEOUT_S = 30
# A slot that nobody reads does not fill the disk.
_LIMITED = {"max_slot_wal_keep_size": "1GB"}

Answers = Callable[[], bool]
"""Whether a server serves requests now."""


class Make(Protocol):
    """Makes the container of a server, not yet created, for this port on loopback."""

    def __call__(self, *, port: int) -> ServerContainer:
        """The container."""


class ContainerStack(StackFolder["ContainerPart"]):
    """
    The servers of `devstack.Stack` in containers; its settings and passwords are in `folder`.

    Any process may make one for the same folder and sees the same servers. They outlive the
    process that started them, and Ryuk leaves them alone: what the folder's label is on is found
    and ended by `down` of whoever comes next. Data is in volumes, which `reset` deletes.
    """

    kind = "containers"

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder)
        self._name = f"tailrace-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]}"
        self._labels = {FOLDER_LABEL: str(self.folder)}

    def up(self, progress: Progress = silent) -> Endpoints:
        """
        Start what does not run; returns once every server answers.

        Raises `PartFailed` for Docker that cannot be reached, an image that cannot be had, or a
        server that does not start; the others stay as they are.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock(progress):
            endpoints = self._endpoints()
            if endpoints is None:
                # Somebody may have deleted the folder, and with it the passwords of the data.
                self._remove(progress, with_data=True)
                endpoints = Endpoints.choose(self.folder, "containers")
            self._make_network()
            self._start_all(endpoints, progress)
        return endpoints

    def down(self, progress: Progress = silent) -> None:
        """Stop and remove every container of the folder, and their network; data stays."""
        with self._lock(progress):
            self._remove(progress, with_data=False)

    def reset(self, progress: Progress = silent) -> None:
        """As `down`, and delete the data, the ports and the passwords."""
        with self._lock(progress):
            self._remove(progress, with_data=True)
            Endpoints.forget(self.folder)

    def _parts(self, at: Endpoints) -> list[ContainerPart]:
        def part(name: str, url: str, answers: Answers, make: Make) -> ContainerPart:
            port = urlsplit(url).port or 0
            return ContainerPart(name, port, answers, make, self._name, self._labels)

        def postgres(name: str, dsn: str, settings: Mapping[str, object]) -> ContainerPart:
            password = urlsplit(dsn).password or ""
            make = partial(PostgresContainer, name, password, settings=settings)
            return part(name, dsn, partial(probes.postgres, dsn), make)

        redis = partial(RedisContainer, urlsplit(at.redis).password or "")
        return [
            part("kafka", f"//{at.kafka}", partial(probes.kafka, at.kafka), KafkaContainer),
            part(
                "connect",
                at.connect,
                partial(probes.connect_has, at.connect, PLUGIN),
                self._connect,
            ),
            postgres("postgres-source", at.source, {**POSTGRES, **_LIMITED}),
            postgres("postgres-target", at.target, POSTGRES),
            part("redis", at.redis, partial(probes.redis, at.redis), redis),
        ]

    def _connect(self, *, port: int) -> ConnectContainer:
        made = ConnectContainer(port=port).with_env("BOOTSTRAP_SERVERS", KafkaContainer.inside)
        return made.with_secrets((self.folder / SECRETS).read_text())

    def _make_network(self) -> None:
        with engine() as client:
            if not client.networks.list(names=[f"^{self._name}$"]):
                client.networks.create(self._name, labels=self._labels)

    def _remove(self, progress: Progress, *, with_data: bool) -> None:
        """Everything that has our label, whoever made it."""
        ours = {"label": f"{FOLDER_LABEL}={self.folder}"}
        with engine() as client:
            found = {c.name: c for c in client.containers.list(all=True, filters=ours)}
            kafka, connect, *others = (f"{self._name}-{name}" for name in PARTS)
            for name in (connect, *others, kafka):
                if container := found.get(name):
                    progress(name.removeprefix(f"{self._name}-"), "stopping")
                    container.stop(timeout=_STOP_TIMEOUT_S)
                    container.remove(v=True, force=True)
            for network in client.networks.list(filters=ours):
                network.remove()
            for volume in client.volumes.list(filters=ours) if with_data else ():
                volume.remove(force=True)


class ContainerPart:
    """One server of a `ContainerStack`: start and wait until it answers, stop, kill, look."""

    def __init__(
        self,
        name: str,
        port: int,
        answers: Answers,
        make: Make,
        stack: str,
        labels: Mapping[str, str],
    ) -> None:
        self.name = name
        self.port = port
        self.answers = answers
        self._make = make
        self._network = stack
        self._full_name = f"{stack}-{name}"
        self._labels = dict(labels)

    @property
    def pid(self) -> int | None:
        """Process id on the machine of the engine while it runs, else None."""
        with self._found() as container:
            return container.attrs["State"]["Pid"] or None if container else None

    def start(self, progress: Progress = silent) -> None:
        """
        Start it and return once it answers; returns at once if it already does.

        Raises `PartFailed` when it ends, stays mute or cannot have its port.
        """
        with engine() as client:
            container = self._find(client)
            if container and container.status == "created":  # may lack files: never started
                container.remove(v=True)
                container = None
            container = container or self._create(client, progress)
            if container.status != "running":
                progress(self.name, "starting")
                self._start(container)
            await_answer(self.name, container, self.answers)
        progress(self.name, "running")

    def stop(self, progress: Progress = silent) -> None:
        """Ask it to end and wait; killed when it does not end in time."""
        with self._found() as container:
            if container:
                progress(self.name, "stopping")
                container.stop(timeout=_STOP_TIMEOUT_S)
                progress(self.name, "stopped")

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        with self._found() as container:
            if container and container.status == "running":
                container.kill()
                container.wait()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        with self._found() as container:
            return log_tail(container, lines) if container else ""

    @contextmanager
    def _found(self) -> Iterator[Container | None]:
        with engine() as client:
            yield self._find(client)

    def _find(self, client: DockerClient) -> Container | None:
        try:
            return client.containers.get(self._full_name)
        except docker.errors.NotFound:
            return None

    def _create(self, client: DockerClient, progress: Progress) -> Container:
        server = self._make(port=self.port)
        try:
            pull_missing(client, server.image, progress)
            if server.data:
                client.volumes.create(self._full_name, labels=self._labels)
            server.create(self._full_name, self._network, self._labels, volume=self._full_name)
        finally:
            server.get_docker_client().client.close()
        return client.containers.get(self._full_name)

    def _start(self, container: Container) -> None:
        try:
            container.start()
        except docker.errors.APIError as error:
            taken = any(said in str(error) for said in ("already allocated", "already in use"))
            why = f"needs port {self.port}, which another program has."
            raise PartFailed(self.name, why if taken else f"cannot start ({error}).") from error
