"""
What systemd hears of us: datagrams to the socket that NOTIFY_SOCKET names, as sd_notify(3) has it.

Without that variable nothing is sent. A socket that cannot be written to is no reason to stop.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress


class Systemd:
    """Tells the service manager that started us how we are; `is_there`: whether one listens."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path  # an abstract one
        self._status = ""

    @property
    def is_there(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Lines like READY=1, STOPPING=1, WATCHDOG=1."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(1.0)
            out.sendto("\n".join(lines).encode(), self._address)

    def beat(self, status: str, *, is_live: bool) -> None:
        """`status` is for `systemctl status`; who is not live lets the watchdog run out."""
        told = ["WATCHDOG=1"] if is_live else []
        if status != self._status:
            self._status = status
            told.append(f"STATUS={status}")
        if told:
            self.tell(*told)
