"""One Kafka node: broker and controller in one process (KRaft)."""

import socket
import struct
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack import jars, java
from devstack.part import Part, PartFailed, Progress, write_properties

# ApiVersions (key 18), version 0, correlation id 1, no client id: needs no state in the broker.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
_LARGEST_RECORD_BYTES = 32 * 1024 * 1024


class Kafka(Part):
    """The broker. Data and settings under `<folder>/kafka`; formatted once."""

    def __init__(
        self,
        folder: Path,
        address: str,
        controller: str,
        cache: Path,
        profile: java.Profile,
    ) -> None:
        super().__init__("kafka", folder, int(address.rpartition(":")[2]))
        self._address = address
        self._controller = controller
        self._cache = cache
        self._profile = profile
        self._settings = self.folder / "server.properties"
        self._data = self.folder / "data"

    def prepare(self, progress: Progress) -> None:
        jars.fetch("kafka", self._cache, progress)
        java.write_log_settings(self.folder)
        write_properties(self._settings, self._properties())
        if not (self._data / "meta.properties").exists():
            progress(self.name, "formatting the log folder")
            self._format()

    def command(self) -> Sequence[str]:
        flags, heap_mb = self._profile.jvm_flags, self._profile.broker_heap_mb
        return java.command(self.folder, heap_mb, flags, "kafka.Kafka", str(self._settings))

    def environment(self) -> Mapping[str, str]:
        return java.environment(jars.paths("kafka", self._cache))

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(_API_VERSIONS)
                return len(connection.recv(8)) == 8
        except OSError:
            return False

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ["format", "-t", cluster_id, "-c", str(self._settings)]
        done = subprocess.run(
            java.command(
                self.folder, 64, self._profile.jvm_flags, "kafka.tools.StorageTool", *arguments
            ),
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
            "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "message.max.bytes": _LARGEST_RECORD_BYTES,
            "replica.fetch.max.bytes": _LARGEST_RECORD_BYTES,
            "log.index.size.max.bytes": 1024 * 1024,
            **self._profile.broker,
        }
