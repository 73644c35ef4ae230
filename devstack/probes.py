"""Whether a server serves requests now, which is more than an open port."""

import json
import socket
import struct
import urllib.error
import urllib.request
from urllib.parse import urlsplit

# ApiVersions (key 18), version 0, correlation id 1, no client id: needs no state in the broker.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def kafka(bootstrap: str) -> bool:
    """A broker at host:port."""
    host, _, port = bootstrap.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2) as connection:
            connection.sendall(_API_VERSIONS)
            return len(connection.recv(8)) == 8
    except OSError:
        return False


def connect(url: str) -> bool:
    """A Connect worker that has joined its group and read its topics."""
    return _got(f"{url}/health") is not None


def connect_has(url: str, plugin: str) -> bool:
    """A Connect worker that serves requests and has this connector class."""
    listed = _got(f"{url}/connector-plugins")
    has = any(each["class"] == plugin for each in json.loads(listed or "[]"))
    return has and connect(url)


def postgres(dsn: str) -> bool:
    """A cluster that lets us in."""
    import psycopg

    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def redis(url: str) -> bool:
    """A Redis or Valkey that lets us in."""
    at = urlsplit(url)
    try:
        with socket.create_connection((at.hostname or "", at.port or 0), timeout=2) as connection:
            connection.sendall(f"AUTH {at.password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answer:
                return answer.readline() == b"+OK\r\n" and answer.readline() == b"+PONG\r\n"
    except OSError:
        return False


def _got(url: str) -> bytes | None:
    """The body of an answer that is a success, else None."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        pass
    else:
        return body
    return None
