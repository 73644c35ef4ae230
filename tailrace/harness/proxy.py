"""A small TCP proxy on loopback that can be cut, slowed down, or made to fall silent."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal, NamedTuple

CHUNK_BYTES = 1 << 16
CONNECT_WITHIN_S = 5.0

Mode = Literal["passing", "cut", "silent"]


class Address(NamedTuple):
    """Of a TCP server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Proxy:
    """
    Forwards connections to `upstream`, each by two threads, until `close`.

    With `rewrites`, what comes back are Kafka's frames, in which the upstream's own address, that
    clients would connect to next, is replaced by this one. It works for one broker that calls
    itself as in `upstream`, without TLS.
    """

    def __init__(self, upstream: Address, *, rewrites: bool = False) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(upstream.host, self._listener.getsockname()[1])
        self._rewrites = (_encoded(upstream), _encoded(self.address)) if rewrites else None
        self._turn = threading.Condition()
        self._mode: Mode = "passing"
        self._delay_s = 0.0
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """Close every connection, and each new one at once, until `heal`."""
        self._become("cut")
        self._hang_up()

    def silence(self) -> None:
        """Half-open: connections stand, new ones too, but nothing comes through until `heal`."""
        self._become("silent")

    def delay(self, seconds: float) -> None:
        """Hold back whatever is sent to the upstream for so long."""
        self._delay_s = seconds

    def heal(self) -> None:
        """Forward again, at once. What was held back in silence goes on its way."""
        self._delay_s = 0.0
        self._become("passing")

    def close(self) -> None:
        """End all connections and threads."""
        with suppress(OSError):  # wakes accept(); an unconnected socket says so, and wakes it too
            self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        self._listener.close()
        for thread in self._threads:
            thread.join(CONNECT_WITHIN_S)

    def _become(self, mode: Mode) -> None:
        with self._turn:
            self._mode = mode
            self._turn.notify_all()

    def _hang_up(self) -> None:
        for end in list(self._open):
            _shut(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self._mode == "cut":
                return
            with socket.create_connection(self._upstream, CONNECT_WITHIN_S) as server:
                server.settimeout(None)
                self._open |= {client, server}
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server, upwards=True)
                back.join()
                self._open -= {client, server}

    def _pump(self, here: socket.socket, there: socket.socket, *, upwards: bool = False) -> None:
        with suppress(OSError):
            chunks = _plain(here) if upwards or not self._rewrites else self._frames(here)
            for chunk in chunks:
                if upwards and self._delay_s:
                    threading.Event().wait(self._delay_s)
                self._wait_for_turn()
                there.sendall(chunk)
        self._wait_for_turn()  # nor does anybody hear of an end in the silence
        _shut(here)
        _shut(there)

    def _wait_for_turn(self) -> None:
        with self._turn:
            while self._mode == "silent":
                self._turn.wait()

    def _frames(self, server: socket.socket) -> Iterator[bytes]:
        assert self._rewrites is not None
        with server.makefile("rb") as stream:
            while len(head := stream.read(4)) == 4:
                yield head + stream.read(int.from_bytes(head)).replace(*self._rewrites)


def _plain(source: socket.socket) -> Iterator[bytes]:
    while chunk := source.recv(CHUNK_BYTES):
        yield chunk


def _encoded(address: Address) -> bytes:
    """As Kafka's protocol has it behind a broker's id; the length before it stays the same."""
    return address.host.encode() + address.port.to_bytes(4)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
