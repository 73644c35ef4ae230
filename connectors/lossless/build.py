"""
Builds `dist/tailrace-lossless.jar`, with a JDK on PATH: `python -m connectors.lossless.build`.

The same sources and the same major version of javac give the same bytes: entries are stored,
not compressed, in a fixed order with a fixed time, and the manifest names the compiler.
"""

import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from connectors.lossless import CONNECTOR_CLASS, CONVERTER_CLASS, HEADERS_CLASS, JAR, QUEUE_CLASS

RELEASE = "17"
"""The oldest Java that Debezium 3.7 and Connect 4 run on."""

COMPILE_AGAINST = (
    "io.debezium:debezium-connector-postgres:3.7.0.Final",
    "org.apache.kafka:connect-api:4.3.1",
    "org.apache.kafka:connect-json:4.3.1",
    "org.apache.kafka:kafka-clients:4.3.1",
)
SOURCES = Path(__file__).parent / "src"
SERVICES = {
    "META-INF/services/org.apache.kafka.connect.source.SourceConnector": CONNECTOR_CLASS,
    "META-INF/services/org.apache.kafka.connect.storage.Converter": CONVERTER_CLASS,
    "META-INF/services/io.debezium.connector.base.QueueProvider": QUEUE_CLASS,
    "META-INF/services/org.apache.kafka.connect.transforms.Transformation": HEADERS_CLASS,
}
EPOCH = (1980, 1, 1, 0, 0, 0)


class NoCompiler(Exception):
    """There is no javac on PATH."""


def build(class_path: Iterable[Path], jar: Path = JAR) -> Path:
    """
    Compile the sources against `class_path` and write `jar`.

    Raises NoCompiler, or subprocess.CalledProcessError when javac refuses the sources.
    """
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder)
        _compile(class_path, classes)
        entries = {
            p.relative_to(classes).as_posix(): p.read_bytes() for p in classes.rglob("*.class")
        }
    manifest = f"Manifest-Version: 1.0\r\nBuild-Jdk-Spec: {compiler_version()}\r\n\r\n"
    entries |= {service: f"{name}\n".encode() for service, name in SERVICES.items()}
    jar.parent.mkdir(parents=True, exist_ok=True)
    _write(jar, {"META-INF/MANIFEST.MF": manifest.encode()} | dict(sorted(entries.items())))
    return jar


def compiler_version() -> str:
    """The major version of the javac on PATH, such as `17`. Raises NoCompiler."""
    said = subprocess.run([_javac(), "-version"], capture_output=True, text=True, check=True)
    found = re.search(r"javac (\d+)", said.stdout + said.stderr)
    if not found:
        raise NoCompiler(f"javac answered {said.stdout!r} when asked for its version.")
    return found[1]


def resolve(cache: Path) -> list[Path]:
    """The jars to compile against, downloaded into `cache` once (needs the extra `devstack`)."""
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    maven = MavenContext(
        repo_cache=cache / "repository", remote_repos={"central": MAVEN_CENTRAL_URL}, timeout=60
    )
    builder = EnvironmentBuilder(maven, cache / "builds", LinkStrategy.HARD)
    found = builder.from_endpoint("+".join(COMPILE_AGAINST))
    return sorted(found.all_jars)


def _javac() -> str:
    javac = shutil.which("javac")
    if javac is None:
        raise NoCompiler("There is no javac on PATH: install a JDK of version 17 or later.")
    return javac


def _compile(class_path: Iterable[Path], classes: Path) -> None:
    sources = sorted(SOURCES.rglob("*.java"))
    joined = ":".join(str(jar) for jar in class_path)
    command = [
        _javac(),
        "--release",
        RELEASE,
        "-Xlint:all",
        "-Werror",
        "-g:source,lines",
        "-proc:none",
    ]
    command += ["-Xlint:-classfile", "-cp", joined, "-d", str(classes), *map(str, sources)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _write(jar: Path, entries: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


def main() -> None:
    """Build the jar that is in the repository."""
    cache = Path(".tailrace/build")
    build(resolve(cache))


if __name__ == "__main__":
    main()
