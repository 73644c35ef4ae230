"""Connections of the commands to the pipeline's databases."""

from typing import Any

import psycopg
from psycopg import sql

from tailrace.exits import TRY_AGAIN, Problem

Connection = psycopg.Connection[Any]


def connect(dsn: str, what: str, *, within_s: int = 5) -> Connection:
    """
    A connection whose catalogue names types with their schema; `what` is for the sentence.

    Raises Problem (TR-SRC-001), to be tried again, when nobody answers or lets us in.
    """
    options = "-c search_path=pg_catalog"
    try:
        return psycopg.connect(
            dsn, connect_timeout=within_s, application_name="tailrace", options=options
        )
    except psycopg.OperationalError as error:
        raise Problem(
            "TR-SRC-001",
            f"The {what} cannot be reached: {why(error)}. Start it, or correct its `dsn`.",
            exit_code=TRY_AGAIN,
        ) from error


def why(error: psycopg.Error) -> str:
    """The server's own words for it, on one line."""
    lines = [line.strip().removeprefix("connection failed: ") for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Is the server running")]
    return (error.diag.message_primary or (told or [type(error).__name__])[-1]).rstrip(".")


def make_database(server: str, name: str) -> str:
    """An empty one on the server of a DSN, in place of any of that name; returns its DSN."""
    database = sql.Identifier(name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(database))
    return server.rpartition("/")[0] + "/" + name
