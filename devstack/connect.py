"""One Kafka Connect worker (distributed mode) with Debezium's Postgres connector."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from devstack import jars, probes
from devstack.java import JavaPart
from devstack.part import Progress, write_properties
from devstack.profile import Profile
from devstack.settings import CONNECT, LOSSLESS


class Connect(JavaPart):
    """
    The Connect worker; REST on loopback only.

    `plugins` are class paths of jars.lock to load beside Debezium's Postgres connector.
    Connectors may read `${file:<path>:<key>}` below the stack's folder and `${env:TAILRACE_…}`.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        kafka: str,
        cache: Path,
        profile: Profile,
        *,
        exactly_once: bool,
        plugins: Sequence[str] = (),
    ) -> None:
        port = urlsplit(url).port or 0
        super().__init__("connect", folder, port, cache, profile, profile.connect_heap_mb)
        self._url = url
        self._kafka = kafka
        self._exactly_once = exactly_once
        self._readable = folder
        self._settings = self.folder / "worker.properties"
        self._plugins = self.folder / "plugins"
        self._more_plugins = plugins

    def prepare(self, progress: Progress) -> None:
        super().prepare(progress)
        write_properties(self._settings, self._properties())
        shutil.rmtree(self._plugins, ignore_errors=True)
        debezium = jars.fetch("debezium", self._cache, progress)
        self._link("debezium-postgres", [*debezium, *LOSSLESS.glob("*.jar")])
        for name in self._more_plugins:
            self._link(name, jars.fetch(name, self._cache, progress))

    def _link(self, plugin: str, wanted: Iterable[Path]) -> None:
        """A plugin is a folder of its own, which Connect loads apart from the others."""
        folder = self._plugins / plugin
        folder.mkdir(parents=True)
        for jar in wanted:
            (folder / jar.name).symlink_to(jar)

    def command(self) -> Sequence[str]:
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        return self.server(main, str(self._settings))

    def answers(self) -> bool:
        return probes.connect(self._url)

    def _properties(self) -> Mapping[str, object]:
        return {
            "bootstrap.servers": self._kafka,
            **CONNECT,
            "listeners": self._url,
            "rest.advertised.host.name": "127.0.0.1",
            "plugin.path": self._plugins,
            "exactly.once.source.support": "enabled" if self._exactly_once else "disabled",
            "config.providers.file.param.allowed.paths": self._readable,
        }
