"""What a projection's code does with events, in the transaction that is open."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql

from consumer.errors import Busy
from eventstore.contracts import Invalid
from eventstore.projection import Projection
from eventstore.recorded import Recorded, Stored
from eventstore.shred import MARK, opened
from eventstore.travel import copied
from eventstore.versions import STATEMENTS
from eventstore.writer import Misused
from sinks import refusal
from sinks.marks import SESSION, Connection


def connect(dsn: str, projection: Projection) -> Connection:
    """A session in which a version's tables are found by their bare names."""
    connection = psycopg.connect(
        dsn, options=SESSION, connect_timeout=5, application_name="tailrace projection"
    )
    path = sql.SQL("SET search_path = {}, pg_catalog").format(sql.Identifier(projection.schema))
    connection.execute(path)
    connection.commit()
    return connection


def project(
    connection: Connection,
    projection: Projection,
    runs: Iterable[Sequence[Stored]],
    store: Callable[[], Connection],
) -> int:
    """
    Lets the version have these events, in the open transaction, and returns how many are its own.
    `store` is asked for the keys of personal fields. Raises Busy for whatever its code raises: no
    event is left out, so the rest waits until the code is mended.
    """
    handled = _Handled(projection.events)
    with blamed(connection, projection, handled):
        if projection.apply is not None:
            recorded = (_recorded(projection, run, store) for run in handled.of(runs))
            projection.apply(connection, recorded)
        else:
            for run in handled.of(runs):
                load_batch(connection, [copied(event) for event in run])
                run_statement(connection, projection)
    return handled.count


class _Handled:
    """Tells which events the code had until it failed."""

    def __init__(self, types: Collection[str]) -> None:
        self._types = types
        self._between: tuple[Stored, Stored] | None = None
        self.count = 0

    def of(self, runs: Iterable[Sequence[Stored]]) -> Iterator[Sequence[Stored]]:
        for run in runs:
            if handled := [event for event in run if event.type in self._types]:
                first = self._between[0] if self._between else handled[0]
                self._between = first, handled[-1]
                self.count += len(handled)
                yield handled

    def __str__(self) -> str:
        if self._between is None:
            return "before its first event"
        first, last = self._between
        return f"between {first.stream} {first.pos} and {last.stream} {last.pos}"


def _recorded(
    projection: Projection, events: Sequence[Stored], store: Callable[[], Connection]
) -> Iterator[Recorded]:
    if any(MARK in event.data for event in events):
        events = opened(store(), events)
    return (event.recorded(projection.contracts) for event in events)


@contextmanager
def blamed(connection: Connection, projection: Projection, where: object) -> Iterator[None]:
    """What the projection's code raises in the block is Busy; it cannot end the transaction."""
    try:
        with connection.transaction():
            yield
    except psycopg.OperationalError:
        raise
    except Invalid as error:
        raise Busy(f"{error}; projection {projection.name} waits for code that reads it") from error
    except Exception as error:
        raise Busy(
            f"projection {projection.name} fails {where} ({_why(error)}): "
            "mend its code and restart; nothing is lost"
        ) from error


def load_batch(connection: Connection, lines: Iterable[str | bytes]) -> int:
    """The lines of COPY become the rows of the table `batch`; returns how many those are."""
    connection.execute(STATEMENTS["batch"])
    with connection.cursor() as cursor:
        with cursor.copy(STATEMENTS["copy_batch"]) as copy:
            for line in lines:
                copy.write(line)
        return cursor.rowcount


def run_statement(connection: Connection, projection: Projection) -> None:
    """Its SQL over the table `batch`, which is empty afterwards."""
    assert projection.statement is not None
    connection.execute(projection.statement)
    connection.execute("DELETE FROM pg_temp.batch")


def _why(error: Exception) -> str:
    """What may be told: of the database its sentence without values, of code the error's name."""
    if isinstance(error, Misused):
        return str(error)
    return refusal.told(error) if isinstance(error, psycopg.Error) else type(error).__name__
