"""
The outbox: events are published in the caller's own transaction, or not at all.

Debezium carries each row to the topic `<pipeline>.events` as a CloudEvent (docs/outbox.md).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from eventstore.contracts import Contract, Contracts, Event
from sinks.target import as_json, load_statements

STATEMENTS = load_statements(Path(__file__).with_name("outbox.sql"))
META = ("correlation", "causation", "traceparent", "actor")
DAYS = 7
LOCK_TIMEOUT_S = 5
LOOK_EVERY_S = 0.2


class NotConfirmed(Exception):
    """Days of the outbox have to stay; the sentence says whom they wait for."""


def create_schema(connection: psycopg.Connection[Any]) -> None:
    """The outbox, if it is not there. Needs the right to create a schema."""
    connection.execute(STATEMENTS["schema"])


def publish(
    tx: psycopg.Connection[Any],
    contracts: Contracts,
    aggregate_type: str,
    aggregate_id: str,
    events: Sequence[Event],
    *,
    meta: Mapping[str, str | None] | None = None,
    ids: Sequence[UUID] | None = None,
) -> list[UUID]:
    """
    Publish what happened to one aggregate, in this order, if the transaction `tx` commits.

    `meta` may have correlation, causation and traceparent, which travel along, and actor, which
    stays at home. `ids`: those of the events, for instance from `id_from`; new ones if left out.
    Returns the ids. Raises Invalid for an event that its contract does not allow, ValueError
    outside of a transaction or for arguments that do not fit together.
    """
    meta = meta or {}
    if tx.autocommit and tx.info.transaction_status == TransactionStatus.IDLE:
        raise ValueError(
            "publish needs the transaction of your own writes: `with tx.transaction()`"
        )
    if unknown := meta.keys() - set(META):
        raise ValueError(f"meta may have {', '.join(META)}; it has {', '.join(sorted(unknown))}")
    if not aggregate_type or not aggregate_id:
        raise ValueError("an event belongs to an aggregate: give its type and its id")
    given = list(ids) if ids is not None else [uuid4() for _ in events]
    if len(given) != len(events) or len(set(given)) != len(given):
        raise ValueError(f"{len(events)} events need as many different ids, not {len(set(given))}")
    if not events:
        return given
    travels = {name: meta.get(name) for name in META[:3]}
    send(
        tx,
        [
            Outgoing(
                id_,
                aggregate_type,
                aggregate_id,
                contracts.source,
                event.contract,
                contracts.encode(event),
                **travels,
            )
            for id_, event in zip(given, events, strict=True)
        ],
    )
    return given


class Outgoing(msgspec.Struct, frozen=True):
    """One row of the outbox; `payload` is JSON that the contract allows."""

    id: UUID
    aggregate_type: str
    aggregate_id: str
    source: str
    contract: Contract
    payload: str
    correlation: str | None = None
    causation: str | None = None
    traceparent: str | None = None


def send(tx: psycopg.Connection[Any], rows: Sequence[Outgoing]) -> None:
    """All of them in one statement, in this order; the same id again is the same event."""
    tx.execute(STATEMENTS["publish"], [as_json(map(columns, rows))])


def columns(row: Outgoing) -> dict[str, Any]:
    """As the statement `publish` takes it."""
    return {
        "id": row.id,
        "aggregatetype": row.aggregate_type,
        "aggregateid": row.aggregate_id,
        "type": row.contract.name,
        "payload": row.payload,
        "ce_source": row.source,
        "dataschema": dataschema(row.contract),
        "correlationid": row.correlation,
        "causationid": row.causation,
        "traceparent": row.traceparent,
    }


def dataschema(contract: Contract) -> str:
    """The URI that names an event's schema, and with it the version of its data."""
    return f"urn:tailrace:{contract.name}:{contract.version}"


def id_from(cause: UUID, *steps: str | int) -> UUID:
    """The same for the same cause and steps, so that doing it again publishes nothing new."""
    return uuid5(cause, "\x1f".join(map(str, steps)))


def prune(
    connection: psycopg.Connection[Any],
    slot: str,
    *,
    keep_days: int = 1,
    within_s: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """
    Empty the days before the last `keep_days` (1 to 5), and return how many had rows.

    `connection` commits each statement. The rows are what a snapshot could send again were the
    slot lost, so they may go once they are durable in Kafka for sure: each day is closed (every
    writer has ended), and then `slot`, and every other logical slot of the database, has to
    confirm the log past that. A slot confirms more than its own beginning only after its first
    snapshot. Raises NotConfirmed, having emptied nothing, ValueError for other `keep_days`.
    """
    if not 1 <= keep_days <= DAYS - 2:
        raise ValueError(f"keep_days is from 1 to {DAYS - 2}, not {keep_days}")
    days = _passed(connection, keep_days)
    full = [day for day in days if _closed(connection, day)]
    if not full:
        return 0
    # A slot that is made from here on stands past the end before its snapshot has sent anything.
    if waits := _behind(connection, slot, 0):
        raise NotConfirmed(waits)
    with connection.transaction():
        connection.execute(STATEMENTS["own_commit"])
    (end,) = _row(connection, "end_of_log")
    until_s = clock() + within_s
    while waits := _behind(connection, slot, end):
        if clock() > until_s:
            raise NotConfirmed(waits)
        time.sleep(LOOK_EVERY_S)
    # Nobody writes a day that has passed, unless a week went by since it was closed.
    still = set(_passed(connection, keep_days))
    with connection.transaction():
        for day in full:
            if day in still:
                with _locking(connection, day):
                    _execute(connection, "empty_day", day)
    return len(full)


@contextmanager
def _locking(connection: psycopg.Connection[Any], day: int) -> Iterator[None]:
    """A transaction that does not wait for long, since others would queue up behind it."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S:d}s'".encode())
            yield
    except psycopg.errors.LockNotAvailable:
        raise NotConfirmed(
            f"a transaction that wrote or reads a day that has passed (eventstore.outbox_{day}) is"
            " still open: end it, then prune again"
        ) from None


def _passed(connection: psycopg.Connection[Any], keep_days: int) -> list[int]:
    """Neither today, nor the days kept before it, nor tomorrow, which may begin any moment."""
    (today,) = _row(connection, "today")
    kept = {(today - 1 - back) % DAYS + 1 for back in range(-1, keep_days + 1)}
    return [day for day in range(1, DAYS + 1) if day not in kept]


def _closed(connection: psycopg.Connection[Any], day: int) -> bool:
    """Whether it has rows, now that every transaction that wrote some has ended."""
    with _locking(connection, day):
        _execute(connection, "close_day", day)
        found = _execute(connection, "has_rows", day).fetchone()
    return bool(found and found[0])


def _behind(connection: psycopg.Connection[Any], slot: str, end: int) -> str | None:
    """Which slot has not confirmed the log up to `end`; None: every one has."""
    slots: Iterable[tuple[str, int | None]] = connection.execute(STATEMENTS["slots"]).fetchall()
    confirmed = dict(slots)
    if slot not in confirmed:
        return f"there is no replication slot {slot} yet, so nothing of the outbox has been sent"
    for name, lsn in confirmed.items():
        if lsn is None or lsn < end:
            return (
                f"slot {name} has not confirmed the outbox's rows: start its connector, or drop "
                "the slot if nobody needs it any more"
            )
    return None


def _row(connection: psycopg.Connection[Any], name: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = connection.execute(STATEMENTS[name]).fetchone()
    if found is None:
        raise AssertionError(f"{name} always finds a row")
    return found


def _execute(connection: psycopg.Connection[Any], name: str, day: int) -> psycopg.Cursor[Any]:
    partition = sql.Identifier("eventstore", f"outbox_{day:d}")
    return connection.execute(sql.SQL(STATEMENTS[name]).format(partition=partition))
