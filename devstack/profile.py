"""How large the servers are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Profile:
    """Heaps in MB, compiler and collector of the JVMs, settings of the broker and of Postgres."""

    broker_heap_mb: int
    connect_heap_mb: int
    jvm_flags: tuple[str, ...]
    quick_starts: bool
    """Whether the JVMs record, on their first run, what makes later starts quicker."""
    broker: Mapping[str, object] = field(default_factory=dict)
    postgres: Mapping[str, object] = field(default_factory=dict)


ProfileName = Literal["small", "bench"]

PROFILES: dict[ProfileName, Profile] = {
    # Quick to start on a small machine: the C1 compiler alone. The default buffer of the log
    # cleaner (128 MB) would not fit into this broker's heap. Postgres tells when a row was
    # committed, so that tools and tests can ask how late it was in the target.
    "small": Profile(
        broker_heap_mb=96,
        connect_heap_mb=128,
        jvm_flags=("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
        quick_starts=True,
        broker={
            "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.num.partitions": 1,
        },
        postgres={"shared_buffers": "32MB", "track_commit_timestamp": "on"},
    ),
    # For measuring: the optimising compiler, room to work, the broker's own defaults, and no
    # recording, which would slow down what is measured.
    "bench": Profile(
        broker_heap_mb=512,
        connect_heap_mb=768,
        jvm_flags=("-XX:+UseSerialGC",),
        quick_starts=False,
        postgres={
            "shared_buffers": "256MB",
            "max_wal_size": "4GB",
            "max_replication_slots": 220,
        },
    ),
}
