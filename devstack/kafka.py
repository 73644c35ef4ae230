"""One Kafka node: broker and controller in one process (KRaft)."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack import probes
from devstack.java import JavaPart
from devstack.part import PartFailed, Progress, write_properties
from devstack.profile import Profile
from devstack.settings import KAFKA


class Kafka(JavaPart):
    """The broker."""

    def __init__(
        self, folder: Path, address: str, controller: str, cache: Path, profile: Profile
    ) -> None:
        port = int(address.rpartition(":")[2])
        super().__init__("kafka", folder, port, cache, profile, profile.broker_heap_mb)
        self._address = address
        self._controller = controller
        self._profile = profile
        self._settings = self.folder / "server.properties"
        self._data = self.folder / "data"

    def prepare(self, progress: Progress) -> None:
        super().prepare(progress)
        write_properties(self._settings, self._properties())
        if not (self._data / "meta.properties").exists():
            progress(self.name, "formatting its log folder")
            self._format()

    def command(self) -> Sequence[str]:
        return self.server("kafka.Kafka", str(self._settings))

    def answers(self) -> bool:
        return probes.kafka(self._address)

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ("format", f"--cluster-id={cluster_id}", "--config", str(self._settings))
        done = subprocess.run(
            self.java("kafka.tools.StorageTool", *arguments),
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise PartFailed(self.name, "could not format its log folder.", done.stderr[-2000:])

    def _properties(self) -> Mapping[str, object]:
        return {
            **KAFKA,
            "controller.quorum.voters": f"1@{self._controller}",
            "listeners": f"PLAINTEXT://{self._address},CONTROLLER://{self._controller}",
            "advertised.listeners": f"PLAINTEXT://{self._address}",
            "log.dirs": self._data,
            **self._profile.broker,
        }
