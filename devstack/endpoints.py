"""Where the servers of a stack answer, with the passwords: one private file in its folder."""

import dataclasses
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from devstack.part import PartFailed, write_private
from devstack.process import free_ports

_FILE = "endpoints.json"
SECRETS = "secrets.properties"

Kind = Literal["embedded", "containers"]
"""What the servers of a stack are: processes of this machine, or containers of Docker."""

SECRETS_IN_CONTAINER = "/etc/tailrace/secrets.properties"
SOURCE_IN_NETWORK = "postgres-source:5432"
CONTROLLER_IN_NETWORK = "kafka:9093"


@dataclass(frozen=True)
class Endpoints:
    """Addresses of one stack. The DSNs and the Redis URL hold passwords and stay out of `repr`."""

    kafka: str
    """Bootstrap server, host:port."""
    controller: str
    """KRaft controller, host:port; only the broker talks to it."""
    connect: str
    """Base URL of Connect's REST interface."""
    source: str = field(repr=False)
    """DSN (URI) of the source database."""
    target: str = field(repr=False)
    """DSN (URI) of the target database."""
    redis: str = field(repr=False)
    """URL of Valkey."""
    secrets: str
    """Properties file with source.password, target.password, redis.password, as Connect sees it."""
    source_for_connect: str
    """The source's server as Connect sees it, host:port."""
    kind: Kind

    @classmethod
    def load(cls, folder: Path | str) -> "Endpoints":
        """
        Read what `Stack.up` saved.

        Raises `FileNotFoundError` when the folder has no stack, `PartFailed` when the file is not
        one of this version.
        """
        path = Path(folder) / _FILE
        try:
            return cls(**json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            why = f"{path} is not what this version writes ({error}). Delete the folder."
            raise PartFailed("endpoints", why) from error

    def expect(self, kind: Kind, folder: Path) -> "Endpoints":
        """These, when they are of a stack of this kind; else raises `PartFailed`."""
        if self.kind == kind:
            return self
        kinds = {"embedded": "an embedded stack", "containers": "a stack of containers"}
        why = f"{folder} has {kinds[self.kind]}, not {kinds[kind]}."
        raise PartFailed("folder", f"{why} Take another folder, or reset this one.")

    @classmethod
    def choose(cls, folder: Path, kind: Kind = "embedded") -> "Endpoints":
        """Free ports and new passwords for a new stack, saved."""
        kafka, controller, connect, source, target, redis = free_ports(6)
        words = {name: secrets.token_urlsafe(24) for name in ("source", "target", "redis")}
        private = folder / SECRETS
        write_private(private, "".join(f"{k}.password={v}\n" for k, v in words.items()))
        contained = kind == "containers"
        chosen = cls(
            kafka=f"127.0.0.1:{kafka}",
            controller=CONTROLLER_IN_NETWORK if contained else f"127.0.0.1:{controller}",
            connect=f"http://127.0.0.1:{connect}",
            source=f"postgresql://postgres:{words['source']}@127.0.0.1:{source}/postgres",
            target=f"postgresql://postgres:{words['target']}@127.0.0.1:{target}/postgres",
            redis=f"redis://:{words['redis']}@127.0.0.1:{redis}/0",
            secrets=SECRETS_IN_CONTAINER if contained else str(private),
            source_for_connect=SOURCE_IN_NETWORK if contained else f"127.0.0.1:{source}",
            kind=kind,
        )
        write_private(folder / _FILE, json.dumps(dataclasses.asdict(chosen), indent=2) + "\n")
        return chosen

    @classmethod
    def forget(cls, folder: Path) -> None:
        """Delete what `choose` saved."""
        for name in (_FILE, SECRETS):
            (folder / name).unlink(missing_ok=True)
