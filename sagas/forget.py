"""
What is over is forgotten. The rows that recognise a repeat go when no repeat can take effect any
more: who takes part in sagas passes over whatever is older than `TOO_OLD`, and nothing is said of a
saga after its end. So the end, and then longer than that. The log stays.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from eventstore.envelope import Envelope
from eventstore.outbox import Outgoing, send
from sagas.wire import Address, Forgotten, message_id, own_words
from sinks.target import load_statements

STATEMENTS = load_statements(Path(__file__).with_name("forget.sql"))
TOO_OLD = timedelta(days=30)
KEEP_DAYS = 35
SAGAS_AT_ONCE = 500
MESSAGES_PER_SAGA = 20
Connection = psycopg.Connection[Any]


def is_too_old(said: Envelope) -> bool:
    """Whether it may be of a saga that is forgotten: it was read again, or had been set aside."""
    return said.time is not None and said.time < datetime.now(UTC) - TOO_OLD


def check(keep_days: float | None) -> None:
    """Raises ValueError where a message could outlive what recognises it."""
    least_days = TOO_OLD / timedelta(days=1)
    if keep_days is not None and keep_days <= least_days:
        raise ValueError(
            f"keep_days has to be above {least_days:g}, not {keep_days:g}: messages are taken in"
            " until they are so old, and an action could run again"
        )


def some(tx: Connection, source: str, types: Sequence[str], keep_days: float) -> int:
    """
    Sagas that have been over for longer than `keep_days`: at most `SAGAS_AT_ONCE` rows go, and all
    participants are told, in the caller's transaction. Returns how many.
    """
    before = datetime.now(UTC) - timedelta(days=keep_days)
    rows = tx.execute(STATEMENTS["over"], [before, list(types), SAGAS_AT_ONCE]).fetchall()
    ids: list[UUID] = sorted(id_ for (id_,) in rows)
    if not ids:
        return 0
    _forget_messages(tx, source, before, len(ids))
    contract = Forgotten.contract
    text = own_words.encode(Forgotten(sagas=ids, before=before))
    of = str(Address("orchestrated", "", "", "", "forgotten"))
    id_ = message_id(ids[0], "forgotten")
    send(tx, [Outgoing(id_, of, str(ids[0]), source, contract, text)])
    return len(ids)


def hear(tx: Connection, participant: str, told: Forgotten) -> None:
    """A participant has them no longer, either."""
    tx.execute(STATEMENTS["fences"], {"ids": told.sagas})
    _forget_messages(tx, participant, told.before, len(told.sagas))


def _forget_messages(tx: Connection, consumer: str, before: datetime, sagas: int) -> None:
    """Of the inbox, about as many as so many sagas took: it shrinks as fast as it grew."""
    tx.execute(STATEMENTS["inbox"], [consumer, before, sagas * MESSAGES_PER_SAGA])
