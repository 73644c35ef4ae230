"""Processes that append events as fast as they can: ours, and the library `eventsourcing`'s."""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from multiprocessing.synchronize import Barrier
from queue import Empty
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from bench.lab import BenchFailed
from eventstore.contracts import Contracts, Event
from eventstore.store import append, create_schema

EVENTS_A_STREAM = 100
READY_WITHIN_S = 60
FUNCTIONS = {"POSTGRES_ENABLE_DB_FUNCTIONS": "yes"}

contracts = Contracts("/bench")


@contracts.event("parcel.moved")
class Moved(Event):
    """About 200 bytes as JSON."""

    parcel: str = "parcel-0123456789"
    depot: str = "a depot with a name of some length, in a town"
    carrier: str = "a carrier"
    scanned_at: str = "2026-01-31T12:00:00.000000+00:00"
    weight_grams: int = 1234
    note: str = "left at the door"


MOVED = Moved()
STATE = MOVED.model_dump_json().encode()


def ours(dsn: str) -> Callable[[], None]:
    """Validated, expected version checked; one event a transaction, which is one statement."""
    connection = psycopg.connect(dsn, autocommit=True)
    stream, version = "", EVENTS_A_STREAM

    def write() -> None:
        nonlocal stream, version
        if version == EVENTS_A_STREAM:
            stream, version = f"parcel-{uuid4()}", 0
        append(connection, contracts, stream, [MOVED], expected=version)
        version += 1

    return write


def prepare(dsn: str) -> None:
    """The tables of all; the library's processes would be in each other's way if each made them."""
    with psycopg.connect(dsn) as connection:
        create_schema(connection)
    for settings in ({}, FUNCTIONS):
        factory = _factory(dsn, CREATE_TABLE="yes", **settings)
        factory.application_recorder()
        factory.close()


def _factory(dsn: str, **settings: str) -> Any:
    from eventsourcing.postgres import PostgresFactory
    from eventsourcing.utils import Environment

    at = urlsplit(dsn)
    where = {
        "POSTGRES_DBNAME": at.path.lstrip("/"),
        "POSTGRES_HOST": at.hostname or "",
        "POSTGRES_PORT": str(at.port),
        "POSTGRES_USER": at.username or "",
        "POSTGRES_PASSWORD": at.password or "",
    }
    return PostgresFactory(Environment("bench", {**where, **settings}))


def theirs(dsn: str, **settings: str) -> Callable[[], None]:
    """
    At the library's recorder: bytes that are ready, and nothing to validate; so what its aggregates
    cost in Python is left out.
    """
    from eventsourcing.persistence import StoredEvent

    recorder = _factory(dsn, CREATE_TABLE="no", **settings).application_recorder()
    stream, version = uuid4(), EVENTS_A_STREAM

    def write() -> None:
        nonlocal stream, version
        if version == EVENTS_A_STREAM:
            stream, version = uuid4(), 0
        recorder.insert_events([StoredEvent(stream, version, "bench:Moved", STATE)])
        version += 1

    return write


def theirs_with_functions(dsn: str) -> Callable[[], None]:
    """Without its table lock: faster, but its readers skip events."""
    return theirs(dsn, **FUNCTIONS)


KINDS: Mapping[str, Callable[[str], Callable[[], None]]] = {
    "tailrace": ours,
    "eventsourcing": theirs,
    "eventsourcing, functions": theirs_with_functions,
}


def _writer(kind: str, dsn: str, seconds: float, ready: Barrier, told: Any) -> None:
    write = KINDS[kind](dsn)
    for _ in range(20):  # statements are prepared by then
        write()
    ready.wait(READY_WITHIN_S)
    count, began_s = 0, time.monotonic()
    while time.monotonic() - began_s < seconds:
        write()
        count += 1
    told.put((count, time.monotonic() - began_s))
    told.close()
    told.join_thread()
    os._exit(0)  # the library's pool leaves threads that would hold this process up


def per_second(kind: str, dsn: str, processes: int, seconds: float) -> float:
    """Events a second of so many writers, each a process. Raises BenchFailed if one ends early."""
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(processes), context.Queue()
    writers = [
        context.Process(target=_writer, args=(kind, dsn, seconds, ready, told), daemon=True)
        for _ in range(processes)
    ]
    for writer in writers:
        writer.start()
    try:
        found = [told.get(timeout=seconds + READY_WITHIN_S) for _ in writers]
    except Empty:
        raise BenchFailed(f"a writer of {kind} ended early; see above") from None
    for writer in writers:
        writer.join()
    return float(sum(count / took_s for count, took_s in found))
