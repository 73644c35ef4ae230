"""
The Java parts: which jars, and where they are on this machine.

`jars.lock` names every jar with its SHA-256, per class path, as requirements.lock does for Python;
jgo fetches what the cache lacks. After changing a version here: `python -m devstack.jars`.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from devstack.part import PartFailed, Progress
from devstack.process import locked

KAFKA_VERSION = "4.3.1"
DEBEZIUM_VERSION = "3.7.0.Final"
LOG4J_VERSION = "2.25.4"

# kafka-clients is named although others bring it: they would bring an older one.
WANTED = {
    "kafka": [
        f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        f"org.apache.kafka:connect-runtime:{KAFKA_VERSION}",
        f"org.apache.kafka:connect-json:{KAFKA_VERSION}",
        f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J_VERSION}",
    ],
    "debezium": [f"io.debezium:debezium-connector-postgres:{DEBEZIUM_VERSION}"],
}
LOCK = Path(__file__).with_name("jars.lock")


class Jar(NamedTuple):
    """One jar: Maven coordinates and the SHA-256 of its bytes."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def default_cache() -> Path:
    """Where jars are kept for all stacks of this user (XDG base directory specification)."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tailrace"


def locked_jars(class_path: str) -> list[Jar]:
    """The jars of one class path of `WANTED`, from jars.lock."""
    lines = (line.split() for line in LOCK.read_text().splitlines() if not line.startswith("#"))
    return [Jar(*rest) for name, *rest in lines if name == class_path]


def fetch(class_path: str, cache: Path, progress: Progress) -> list[Path]:
    """
    Paths of all jars of a class path, downloaded where the cache lacks them.

    Raises `PartFailed` when one cannot be had or its bytes are not the locked ones.
    """
    if not all(path.exists() for path in paths(class_path, cache)):
        with locked(cache / "lock"):
            missing = [j for j in locked_jars(class_path) if not _path(cache, j).exists()]
            with ThreadPoolExecutor(4) as pool:
                for number, jar in enumerate(pool.map(lambda j: _download(cache, j), missing), 1):
                    progress("jars", f"{class_path} {number}/{len(missing)} {jar.name}")
    return paths(class_path, cache)


def paths(class_path: str, cache: Path) -> list[Path]:
    """Where the jars of a class path are once `fetch` has been there."""
    return [_path(cache, jar) for jar in locked_jars(class_path)]


def _path(cache: Path, jar: Jar) -> Path:
    return cache / "jars" / jar.sha256[:16] / jar.name


def _download(cache: Path, jar: Jar) -> Jar:
    """jgo writes into a folder aside; only whole and checked jars are moved to their place."""
    import requests
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=cache / "incoming", timeout=60)
    incoming = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    if incoming.cached_path:
        incoming.cached_path.unlink(missing_ok=True)
    try:
        got = Path(incoming.resolve())
    except (requests.RequestException, RuntimeError) as error:
        raise PartFailed("jars", f"cannot get {jar.name}: {error}") from error
    if _sha256(got) != jar.sha256:
        got.unlink()
        raise PartFailed("jars", f"got a {jar.name} whose SHA-256 is not the one in jars.lock.")
    path = _path(cache, jar)
    path.parent.mkdir(parents=True, exist_ok=True)
    got.replace(path)
    return jar


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resolve() -> Iterator[tuple[str, Jar]]:
    """Every jar by jgo's own resolver; a plugin gets none that Connect's class path has."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=default_cache() / "resolving", timeout=60)
    taken: set[tuple[str, str]] = set()
    for class_path, coordinates in WANTED.items():
        roots = [context.create_dependency(coordinate) for coordinate in coordinates]
        for root in roots:
            root.raw = True  # else one root's managed versions would rule over all others' needs
        wanted, others = context.resolver.resolve(roots)
        for found in sorted([*wanted, *others], key=str):
            identity = (found.groupId, found.artifactId)
            if identity not in taken:
                taken.add(identity)
                sha256 = _sha256(Path(found.artifact.resolve()))
                yield class_path, Jar(*identity, found.version, sha256)


if __name__ == "__main__":
    head = "# Made by `python -m devstack.jars`: class path, group, artifact, version, SHA-256.\n"
    LOCK.write_text(head + "".join(f"{name} {' '.join(jar)}\n" for name, jar in _resolve()))
