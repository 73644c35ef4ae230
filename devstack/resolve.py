"""
Writes jars.lock anew: `python -m devstack.resolve`, after changing a version here.

jgo works out what the wanted jars need. Its network is used here and nowhere else for deciding:
what a stack starts with is what the lock says.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from jgo.maven import MavenContext

from devstack.jars import LOCK, Jar, sha256_of

KAFKA = "4.3.1"
DEBEZIUM = "3.7.0.Final"
DEBEZIUM_JDBC = "3.5.0.Final"
LOG4J = "2.25.4"

WANTED = {
    # kafka-clients is named although others bring it: they would bring an older one.
    "kafka": [
        f"org.apache.kafka:kafka-clients:{KAFKA}",
        f"org.apache.kafka:kafka_2.13:{KAFKA}",
        f"org.apache.kafka:kafka-tools:{KAFKA}",
        f"org.apache.kafka:connect-runtime:{KAFKA}",
        f"org.apache.kafka:connect-json:{KAFKA}",
        f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",
    ],
    "debezium": [f"io.debezium:debezium-connector-postgres:{DEBEZIUM}"],
    "debezium-jdbc": [f"io.debezium:debezium-connector-jdbc:{DEBEZIUM_JDBC}"],
}
# Drivers of databases that no stack has.
UNWANTED = {"mssql-jdbc", "mysql-connector-j", "mariadb-java-client", "ojdbc11"}


def resolve(folder: Path) -> Iterator[tuple[str, Jar]]:
    """(class path, jar) for all that is wanted; a plugin gets none that Connect itself has."""
    context = MavenContext(repo_cache=folder, timeout=60)
    connects_own: set[tuple[str, str]] = set()
    for class_path, coordinates in WANTED.items():
        roots = [context.create_dependency(coordinate) for coordinate in coordinates]
        for root in roots:
            root.raw = True  # else one root's managed versions would rule over all others' needs
        wanted, others = context.resolver.resolve(roots)
        for found in sorted([*wanted, *others], key=str):
            identity = (found.groupId, found.artifactId)
            if identity not in connects_own and found.artifactId not in UNWANTED:
                sha256 = sha256_of(Path(found.artifact.resolve()))
                yield class_path, Jar(*identity, found.version, sha256)
        if class_path == "kafka":
            connects_own = {(found.groupId, found.artifactId) for found in (*wanted, *others)}


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        lines = [f"{name} {' '.join(jar)}\n" for name, jar in resolve(Path(folder))]
    head = (
        "# Made by `python -m devstack.resolve`: class path, group, artifact, version, SHA-256.\n"
    )
    LOCK.write_text(head + "".join(lines))
