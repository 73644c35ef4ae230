"""Empty databases for a test, dropped after it."""

import secrets

import psycopg
from psycopg import sql


class Databases:
    """On the server of `server`, a DSN (URI) that may create databases."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._made: list[str] = []

    def __call__(self) -> str:
        """Make one; returns its DSN."""
        name = f"test_{secrets.token_hex(4)}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._made.append(name)
        return self._server.rpartition("/")[0] + "/" + name

    def drop(self) -> None:
        """Drop all of them, whoever is connected."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            for name in self._made:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                connection.execute(drop.format(sql.Identifier(name)))
