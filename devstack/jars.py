"""
The jars of the stack, and where they are on this machine.

`jars.lock` names every jar with its SHA-256, per class path, as requirements.lock does for Python
(`resolve.py` writes it); jgo downloads what the user's cache lacks.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from devstack.part import PartFailed, Progress
from devstack.process import locked

LOCK = Path(__file__).with_name("jars.lock")


class Jar(NamedTuple):
    """One jar: Maven coordinates and the SHA-256 of its bytes."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """File name."""
        return f"{self.artifact}-{self.version}.jar"


def default_cache() -> Path:
    """Where all stacks of this user keep their jars (XDG base directory specification)."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tailrace"


def paths(class_path: str, cache: Path) -> list[Path]:
    """Where the jars of a class path of jars.lock are, once `fetch` has been there."""
    return [_path(cache, jar) for jar in _locked_jars(class_path)]


def fetch(class_path: str, cache: Path, progress: Progress) -> list[Path]:
    """
    The jars of a class path of jars.lock, downloaded where the cache lacks them.

    Raises `PartFailed` when one cannot be had or its bytes are not the locked ones.
    """
    if not all(path.exists() for path in paths(class_path, cache)):
        try:
            waiting = partial(progress, "jars", "waiting for another download")
            with locked(cache / "lock", waiting):
                _fill(class_path, cache, progress)
        except OSError as error:
            why = f"cannot be kept in {cache} ({error}). Set XDG_CACHE_HOME to another folder."
            raise PartFailed("jars", why) from error
    return paths(class_path, cache)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(class_path: str, cache: Path, progress: Progress) -> None:
    """jgo writes into a folder aside: only what is whole and checked is moved to its place."""
    missing = [jar for jar in _locked_jars(class_path) if not _path(cache, jar).exists()]
    with TemporaryDirectory(dir=cache) as aside, ThreadPoolExecutor(4) as pool:
        downloads = [pool.submit(_download, jar, Path(aside)) for jar in missing]
        try:
            for number, (jar, download) in enumerate(zip(missing, downloads, strict=True), 1):
                path = _path(cache, jar)
                path.parent.mkdir(parents=True, exist_ok=True)
                download.result().replace(path)
                progress("jars", f"downloaded {number}/{len(missing)} for {class_path}: {jar.name}")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _download(jar: Jar, folder: Path) -> Path:
    import requests
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, timeout=60)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        got = Path(artifact.resolve())
    except (requests.RequestException, RuntimeError) as error:  # the latter: no such jar there
        why = f"could not be downloaded ({error}). What came is kept: run it again when mended."
        raise PartFailed("jars", why) from error
    if sha256_of(got) != jar.sha256:
        raise PartFailed("jars", f"got a {jar.name} whose SHA-256 is not the one in {LOCK}.")
    return got


def _locked_jars(class_path: str) -> list[Jar]:
    lines = (line.split() for line in LOCK.read_text().splitlines() if not line.startswith("#"))
    return [Jar(*rest) for name, *rest in lines if name == class_path]


def _path(cache: Path, jar: Jar) -> Path:
    return cache / "jars" / jar.sha256[:16] / jar.name
