"""
When is all that was committed up to an LSN durable in Kafka?

Connect stores a source offset only once every record up to it is acknowledged, and the offset
names the commit before its record. So a stored commit beyond an LSN proves it, as long as commits
keep coming: heartbeats are written by hand for that. The newest record in a topic proves nothing,
since partitions fill independently; nor does the slot, which may be confirmed ahead of a partition.
"""

import dataclasses
import time
from typing import Any

import psycopg

from connectors.catalogue import read_slot
from connectors.errors import ConnectorError
from connectors.lifecycle import At, refuse_failed, states
from connectors.position import resumes_at
from connectors.render import heartbeat_query
from connectors.spec import ConnectorSpec

BEAT_EVERY_S = 0.5
_WRITER = "harness"  # instead of a slot's name, so that the connector's own heartbeat is left alone


class Hopeless(Exception):
    """What is waited for cannot come true; the message says why."""


def insert_lsn(source: psycopg.Connection[Any]) -> int:
    """Where the next record of the source's log will be: every commit until now is before it."""
    row = source.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


class Watch:
    """Asks, as often as wanted, whether everything up to `lsn` (until now, if None) is captured."""

    def __init__(self, spec: ConnectorSpec, lsn: int | None) -> None:
        self._spec = spec
        self._beat = heartbeat_query(dataclasses.replace(spec, slot=_WRITER)).encode()
        self._lsn = lsn
        self._beyond: int | None = None
        self._beaten_at_s = 0.0

    def is_captured(self, at: At) -> bool:
        """Raises Hopeless when the connector or a task has failed."""
        if not self._has_begun(at):
            return False
        if time.monotonic() - self._beaten_at_s > BEAT_EVERY_S:
            at.source.execute(self._beat)
            at.source.execute(self._beat)
            self._beaten_at_s = time.monotonic()
        stored = [resumes_at(offset) for _, offset in at.connect.offsets(self._spec.name) if offset]
        return any(lsn > (self._beyond or 0) for lsn in stored if lsn is not None)

    def _has_begun(self, at: At) -> bool:
        """With a slot: what is written from then on is streamed, after the snapshot."""
        found = states(at.connect, self._spec.name)
        try:
            refuse_failed(self._spec.name, found)
        except ConnectorError as error:
            raise Hopeless(f"{error.sentence} [{error.code}]") from error
        if self._beyond is None and read_slot(at.source, self._spec.slot) is not None:
            self._beyond = max(self._lsn or 0, insert_lsn(at.source))
        return self._beyond is not None
