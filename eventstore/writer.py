"""
Statements that are sent ahead, whose answers are looked at later and in bulk.

A statement is prepared once a session; then only its parameters travel. What psycopg does for each
statement besides that (a cursor, its conversion, its answer) takes most of an event's time.
"""

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, LiteralString
from weakref import WeakKeyDictionary

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.waiting import Ready, Wait

AHEAD: Final = 5000  # answers that may be open; half of them are awaited then
_PLACEHOLDER = re.compile(r"%(.?)")

Connection = psycopg.Connection[Any]
Prepared = dict[tuple[str, tuple[int, ...]], bytes]

_numbers = count()
_prepared: WeakKeyDictionary[Connection, Prepared] = WeakKeyDictionary()


class Misused(Exception):
    """What a writer cannot do; the sentence says what can be done instead, without any values."""


class Writer:
    """The open transaction, to write in and not to read: what is read comes with the batch form."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._transformer = Transformer(connection)
        self._prepared = _prepared.setdefault(connection, {})
        self._open = 0
        self._failed: Exception | None = None

    def execute(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> None:
        """
        Sent in order, with a parameter for each `%s`; `%%` is a percent sign. A refusal by the
        database is raised by a later call, or at the end; nothing that came after it counts.

        Raises Misused and psycopg.Error.
        """
        if self._failed:
            raise self._failed
        formats = [PyFormat.AUTO] * len(parameters)
        values = self._transformer.dump_sequence(parameters, formats)
        key = statement, self._transformer.types or ()
        name = self._prepared.get(key) or self._prepare(*key)
        self._pgconn.send_query_prepared(name, values, self._transformer.formats)
        self._open += 1
        if self._open >= AHEAD:
            self._pgconn.send_flush_request()
            self._settle(AHEAD // 2)

    def _prepare(self, statement: str, types: tuple[int, ...]) -> bytes:
        query = _converted(statement, len(types)).encode(self._transformer.encoding)
        name = b"tailrace_%d" % next(_numbers)
        self._pgconn.send_prepare(name, query, types)
        self._open += 1
        self._prepared[statement, types] = name
        return name

    def finish(self) -> None:
        """Once all is answered. Raises what failed."""
        if self._pgconn.status != ConnStatus.OK:
            return
        self._pgconn.pipeline_sync()
        self._settle(0)
        self._answer()  # to the sync
        self._pgconn.exit_pipeline_mode()
        if self._failed:
            _prepared.pop(self._connection, None)  # what came after the failure was not prepared
            raise self._failed

    def _settle(self, still_open: int) -> None:
        while self._open > still_open:
            answer = self._answer()
            if answer is None:  # the end of what one statement is answered
                self._open -= 1
            elif answer.status == ExecStatus.COMMAND_OK:
                continue
            elif answer.status == ExecStatus.FATAL_ERROR:
                encoding = self._transformer.encoding
                self._failed = self._failed or error_from_result(answer, encoding=encoding)
            elif answer.status != ExecStatus.PIPELINE_ABORTED:
                self._failed = self._failed or Misused(
                    "a statement of a function of single events returns rows, which nobody reads: "
                    "read in a @batch_projection"
                )
                if answer.status != ExecStatus.TUPLES_OK:  # a COPY, which would wait for its data
                    self._connection.close()
                    raise self._failed

    def _answer(self) -> Any:
        while self._pgconn.is_busy():
            self._connection.wait(self._more())
        return self._pgconn.get_result()

    def _more(self) -> Generator[Wait, Ready | int, None]:
        """Sends what is left while it waits: else both ends might wait for the other to read."""
        ready = yield Wait.RW if self._pgconn.flush() else Wait.R
        if ready & Ready.R:
            self._pgconn.consume_input()


@contextmanager
def writing(connection: Connection) -> Iterator[Writer]:
    """In the transaction that is open."""
    connection.pgconn.enter_pipeline_mode()
    writer = Writer(connection)
    try:
        yield writer
    finally:
        writer.finish()


def _converted(statement: str, parameters: int) -> str:
    """With $1, $2 in place of %s, as the server wants it."""
    numbers = count(1)

    def one(found: re.Match[str]) -> str:
        if found[1] not in ("s", "%"):
            raise Misused("a function of single events writes with %s, and with %% for a percent")
        return f"${next(numbers)}" if found[1] == "s" else "%"

    converted = _PLACEHOLDER.sub(one, statement)
    if (wanted := next(numbers) - 1) != parameters:
        raise Misused(f"a statement with {wanted} %s is given {parameters} parameters")
    return converted
