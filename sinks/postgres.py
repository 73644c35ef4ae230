"""
The Postgres mirror: rows and offsets in one transaction, durable before `apply` returns.

Three guards make a change take effect once, however often it is delivered: the offset row
(compare-and-set, first statement), the position in each row's `_cdc_*` columns, and tombstones for
deleted rows. Fresh inserts go straight in by COPY; everything else is staged and guarded.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from consumer.errors import Busy, Rejected
from consumer.event import START, Batch, ChangeEvent, Mark, Outcome, Position, TopicPartition
from sinks import refusal
from sinks.compaction import Placeholder
from sinks.marks import SESSION, Ledger
from sinks.target import STATEMENTS, Target, read_targets
from sinks.writes import NotFresh, Writer

KEEP_TOMBSTONES_S = 8 * 24 * 3600  # a day longer than the topics keep their records
PRUNE_EVERY_S = 3600.0


class PostgresSink:
    """
    Mirrors `tables` (`schema.table`, the same names as in the source) under the name `sink`.

    `placeholder` is the connector's `unavailable.value.placeholder`. `reached` is called at each
    step inside `apply`: tests kill the process there.
    """

    def __init__(
        self,
        dsn: str,
        sink: str,
        tables: Collection[str],
        placeholder: str,
        *,
        reached: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._dsn = dsn
        self._ledger = Ledger(sink)
        self._tables = sorted(tables)
        self._writer = Writer(Placeholder(placeholder), reached)
        self._reached = reached
        self._connection: psycopg.Connection[Any] | None = None
        self._targets: dict[str, Target] = {}
        self._prune_at_s = 0.0

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Mark]:
        """Raises Busy, and Refused where a target table cannot be written without loss."""
        with refusal.as_busy(self._tables):
            return self._ledger.claim(self._connect(), partitions)

    def apply(self, batch: Batch) -> Outcome:
        try:
            with refusal.as_busy(self._tables):
                return self._apply(batch)
        except NotFresh:  # a row was there already: once more, by way of the stage
            self._rollback()
            return self.apply(batch)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            self._rollback()
            with refusal.as_busy(self._tables):
                raise self._rejected(batch, error) from error
        except Busy:
            self._disconnect()  # the next attempt looks at the target anew
            raise
        except BaseException:  # half a batch must not be committed with the next
            self._rollback()
            raise

    def _apply(self, batch: Batch) -> Outcome:
        connection = self._connect()
        if self._ledger.has(connection, batch):
            return Outcome(len(batch.changes), 0, 0)
        outcome = self._write(connection, batch)
        self._prune(connection)
        self._reached("before commit")
        self._ledger.commit(connection)
        self._reached("after commit")
        return outcome

    def close(self) -> None:
        self._disconnect()

    def _write(self, connection: psycopg.Connection[Any], batch: Batch) -> Outcome:
        floors = self._advance(connection, batch)
        self._reached("advanced")
        total = Outcome(0, 0, 0)
        for target, changes in self._by_table(connection, batch.changes):
            total += self._writer.write(connection, target, changes, floors.get(target.name))
            if changes[0].op == "t":
                floors[target.name] = max(changes[0].position, floors.get(target.name, START))
        return total

    def _prune(self, connection: psycopg.Connection[Any]) -> None:
        if time.monotonic() > self._prune_at_s:
            connection.execute(STATEMENTS["prune"], [KEEP_TOMBSTONES_S])
            self._prune_at_s = time.monotonic() + PRUNE_EVERY_S

    def _advance(self, connection: psycopg.Connection[Any], batch: Batch) -> dict[str, Position]:
        """I5: the spans move only from where this worker left them, or nothing happens."""
        tables = sorted({change.table for change in batch.changes} & self._targets.keys())
        with connection.pipeline():
            moved = self._ledger.advance(connection, batch)
            found: Any = ()
            if tables:
                names = sql.SQL(", ").join(self._targets[name].relation for name in tables)
                connection.execute(sql.SQL(STATEMENTS["lock"]).format(targets=names))
                found = connection.execute(STATEMENTS["floors"], [tables])
        self._ledger.check(moved, batch)
        return {name: Position(*position) for name, *position in found}

    def _by_table(
        self, connection: psycopg.Connection[Any], changes: Sequence[ChangeEvent]
    ) -> Iterator[tuple[Target, list[ChangeEvent]]]:
        """Runs of changes, each run of one table; a TRUNCATE is a run of its own, in its place."""
        runs: dict[str, list[ChangeEvent]] = {}
        for change in changes:
            if change.op == "t":
                if change.table in runs:
                    yield self._target(change.table), runs.pop(change.table)
                yield self._target(change.table), [change]
            elif (run := runs.get(change.table)) is not None:
                run.append(change)
            else:
                runs[change.table] = [change]
        for table, run in runs.items():
            yield self._target(table), run

    def _target(self, table: str) -> Target:
        target = self._targets.get(table)
        if target is None:
            raise Busy(
                f"the target has no table {table}: run `tailrace schema apply`; the changes wait"
            )
        return target

    def _rejected(self, batch: Batch, error: psycopg.Error) -> Rejected:
        """Halves the batch until the changes are found that the target refuses."""

        def is_refused(changes: Sequence[ChangeEvent]) -> psycopg.Error | None:
            connection = self._connect()
            try:
                self._write(connection, Batch(changes, batch.spans, batch.marks))
            except (psycopg.DataError, psycopg.IntegrityError) as refused:
                return refused
            finally:
                self._rollback()  # the stages that this try made are gone with it
            return None

        return refusal.find(batch.changes, is_refused, error)

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn, options=SESSION, connect_timeout=5, application_name="tailrace sink"
            )
            self._targets = read_targets(self._connection, self._tables)
            self._connection.rollback()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _rollback(self) -> None:
        for target in self._targets.values():
            target.forget_stages()
        if self._connection is not None and not self._connection.closed:
            try:
                self._connection.rollback()
            except psycopg.Error:
                self._connection.close()
