"""One Kafka node: broker and controller in one process (KRaft)."""

import socket
import struct
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.java import JavaPart
from devstack.part import PartFailed, Progress, write_properties
from devstack.profile import Profile

# ApiVersions (key 18), version 0, correlation id 1, no client id: needs no state in the broker.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
_LARGEST_RECORD_BYTES = 32 * 1024 * 1024


class Kafka(JavaPart):
    """The broker. One partition and one replica for a topic unless its creator says otherwise."""

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
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(_API_VERSIONS)
                return len(connection.recv(8)) == 8
        except OSError:
            return False

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
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{self._controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self._address},CONTROLLER://{self._controller}",
            "advertised.listeners": f"PLAINTEXT://{self._address}",
            "log.dirs": self._data,
            "num.partitions": 1,
            "auto.create.topics.enable": False,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # A killed broker may come back only when its old session has run out.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            "message.max.bytes": _LARGEST_RECORD_BYTES,
            "replica.fetch.max.bytes": _LARGEST_RECORD_BYTES,
            **self._profile.broker,
        }
