"""One Kafka Connect worker (distributed mode) with Debezium's Postgres connector."""

import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from devstack import jars, java
from devstack.part import Part, Progress, write_properties

LOSSLESS = Path(__file__).parents[1] / "connectors" / "lossless" / "dist"
"""Where the wrapper plugin's jar is, beside us; it belongs into the same folder as Debezium."""


class Connect(Part):
    """
    The Connect worker; REST on loopback only.

    Connectors may read `${file:<path>:<key>}` below the stack's folder and `${env:TAILRACE_…}`.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        kafka: str,
        cache: Path,
        profile: java.Profile,
    ) -> None:
        super().__init__("connect", folder, urlsplit(url).port or 0)
        self._url = url
        self._stack_folder = folder
        self._kafka = kafka
        self._cache = cache
        self._profile = profile
        self._settings = self.folder / "worker.properties"
        self._plugins = self.folder / "plugins"

    def prepare(self, progress: Progress) -> None:
        jars.fetch("kafka", self._cache, progress)
        debezium = jars.fetch("debezium", self._cache, progress)
        java.write_log_settings(self.folder)
        write_properties(self._settings, self._properties())
        target = self._plugins / "debezium-postgres"
        target.mkdir(parents=True, exist_ok=True)
        for old in target.iterdir():
            old.unlink()
        for jar in [*debezium, *LOSSLESS.glob("*.jar")]:
            (target / jar.name).symlink_to(jar)

    def command(self) -> Sequence[str]:
        flags, heap_mb = self._profile.jvm_flags, self._profile.connect_heap_mb
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        return java.command(self.folder, heap_mb, flags, main, str(self._settings))

    def environment(self) -> Mapping[str, str]:
        return java.environment(jars.paths("kafka", self._cache))

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"{self._url}/health", timeout=2
            ) as answer:  # our own loopback address
                return bool(answer.status == 200)
        except OSError:
            return False

    def _properties(self) -> Mapping[str, object]:
        converter = "org.apache.kafka.connect.json.JsonConverter"
        config = "org.apache.kafka.common.config.provider"
        return {
            "bootstrap.servers": self._kafka,
            "group.id": "connect",
            "listeners": self._url,
            "rest.advertised.host.name": "127.0.0.1",
            "plugin.path": self._plugins,
            "plugin.discovery": "service_load",
            "key.converter": converter,
            "key.converter.schemas.enable": False,
            "value.converter": converter,
            "value.converter.schemas.enable": False,
            "config.storage.topic": "connect-configs",
            "config.storage.replication.factor": 1,
            "offset.storage.topic": "connect-offsets",
            "offset.storage.replication.factor": 1,
            "offset.storage.partitions": 1,
            "status.storage.topic": "connect-status",
            "status.storage.replication.factor": 1,
            "status.storage.partitions": 1,
            "offset.flush.interval.ms": 2000,
            "scheduled.rebalance.max.delay.ms": 0,
            "session.timeout.ms": 3000,
            "heartbeat.interval.ms": 1000,
            "connector.client.config.override.policy": "All",
            "exactly.once.source.support": "enabled",
            "config.providers": "file,env",
            "config.providers.file.class": f"{config}.FileConfigProvider",
            "config.providers.file.param.allowed.paths": self._stack_folder,
            "config.providers.env.class": f"{config}.EnvVarConfigProvider",
            "config.providers.env.param.allowlist.pattern": "TAILRACE_.*",
        }
