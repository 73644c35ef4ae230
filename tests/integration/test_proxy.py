"""The proxy that faults are made of, before a server that sends back what it gets."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tailrace.harness.proxy import Address, Proxy
from tailrace.harness.waits import eventually


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1 << 16):
            self.request.sendall(data)


@pytest.fixture
def upstream() -> Iterator[Address]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield Address(*server.server_address[:2])  # type: ignore[arg-type]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(upstream: Address) -> Iterator[Proxy]:
    proxy = Proxy(upstream)
    yield proxy
    proxy.close()


def client(proxy: Proxy, timeout_s: float = 5.0) -> socket.socket:
    return socket.create_connection(proxy.address, timeout_s)


def echoed(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    found = b""
    while len(found) < len(data):
        found += connection.recv(1 << 16)
    return found


def test_what_goes_in_comes_out(proxy: Proxy) -> None:
    data = bytes(range(256)) * 4000
    with client(proxy) as one, client(proxy) as other:
        threading.Thread(target=other.sendall, args=(b"x",)).start()
        one.setblocking(True)
        sender = threading.Thread(target=one.sendall, args=(data,))
        sender.start()
        found = b""
        while len(found) < len(data):
            found += one.recv(1 << 16)
        sender.join()
        assert found == data
        assert other.recv(1) == b"x"


def test_a_cut_ends_connections_until_healed(proxy: Proxy) -> None:
    with client(proxy) as before:
        assert echoed(before, b"a") == b"a"
        proxy.cut()
        assert is_closed(before)
    with client(proxy) as during:
        assert is_closed(during)
    proxy.heal()
    with client(proxy) as after:
        assert echoed(after, b"b") == b"b"


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_silence_keeps_connections_and_what_they_say(proxy: Proxy) -> None:
    with client(proxy, 0.3) as before:
        assert echoed(before, b"a") == b"a"
        proxy.silence()
        before.sendall(b"b")
        with pytest.raises(TimeoutError):
            before.recv(1)
        with client(proxy, 0.3) as during, pytest.raises(TimeoutError):
            echoed(during, b"c")
        proxy.heal()
        before.settimeout(5)
        assert before.recv(1) == b"b"


def test_a_delay_holds_back_what_is_sent(proxy: Proxy) -> None:
    proxy.delay(0.2)
    with client(proxy) as connection:
        began_s = time.monotonic()
        assert echoed(connection, b"a") == b"a"
        assert time.monotonic() - began_s >= 0.2
        proxy.heal()
        assert echoed(connection, b"b") == b"b"


def test_in_kafkas_frames_the_upstreams_address_is_replaced(upstream: Address) -> None:
    proxy = Proxy(upstream, rewrites=True)
    try:

        def frame(address: Address) -> bytes:
            body = b"\x00\x01" + address.host.encode() + address.port.to_bytes(4) + b"\x00rest"
            return len(body).to_bytes(4) + body

        with client(proxy) as connection:
            for byte in frame(upstream):  # in pieces: frames are put together again
                connection.sendall(bytes([byte]))
            found = b""
            while len(found) < len(frame(upstream)):
                found += connection.recv(1 << 16)
        assert found == frame(proxy.address)
    finally:
        proxy.close()


def test_nothing_is_left_after_close(upstream: Address) -> None:
    proxy = Proxy(upstream)
    threads = threading.active_count()
    with client(proxy) as connection:
        assert echoed(connection, b"a") == b"a"
        proxy.silence()
        proxy.close()
        assert is_closed(connection)
    eventually(lambda: threading.active_count() <= threads, 5, "the threads to end")
    with pytest.raises(ConnectionRefusedError):
        client(proxy)
