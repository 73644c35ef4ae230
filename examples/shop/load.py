"""
A steady mixed load on the shop: several connections, their transactions overlapping.

    SHOP_DSN=postgresql://… python -m examples.shop.load --rate 200 --for 30

The same seed brings the same transactions of each writer, as long as the server stays.
"""

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Annotated, Any

import psycopg
import typer
from psycopg.errors import DeadlockDetected, SerializationFailure

from examples.shop import database
from examples.shop.transactions import Step, Transaction, next_transaction
from examples.shop.writer import Writer

_BACK_OFF_S = (0.1, 0.2, 0.5, 1.0)
_LATEST_S = 1.0
_PAUSED = 0.05


@dataclass
class Report:
    """What a load has done so far."""

    committed: Counter[str] = field(default_factory=Counter)
    """Transactions by kind."""
    rolled_back: int = 0
    in_doubt: int = 0
    """The connection broke in COMMIT, so that nobody told whether they happened."""
    retried: int = 0
    """Runs again after a deadlock."""
    missed: int = 0
    """Due while the server was away or too slow, and left out."""
    reconnected: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Transactions a second, rolled back ones included."""
        done = self.committed.total() + self.rolled_back
        return done / self.seconds if self.seconds else 0.0


class Load:
    """
    Runs from `start` to `stop`, at `rate` transactions a second over all `writers`.

    What a writer did not expect (anything but a server that is away) stops all of them and is
    raised by `wait` and `stop`. With `transactions` it ends by itself after that many.
    """

    def __init__(
        self,
        dsn: str,
        *,
        rate: float = 200.0,
        writers: int = 4,
        seed: int = 1,
        transactions: int | None = None,
    ) -> None:
        self._dsn = dsn
        self._rate = rate
        self._limit = transactions
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._report = Report()
        self._began = self._ended = 0.0
        self._failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(seed, number, writers), daemon=True)
            for number in range(writers)
        ]

    def start(self) -> "Load":
        """Start the writers."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all writers have ended; whether they have."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if self._failure is not None:
            raise self._failure
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> Report:
        """Let each writer end its transaction, and tell what was done."""
        self._stopping.set()
        self.wait()
        return self.report()

    def report(self) -> Report:
        """What was done so far."""
        with self._lock:
            copy = Report(**vars(self._report))
            copy.committed = self._report.committed.copy()
        running = any(thread.is_alive() for thread in self._threads)
        copy.seconds = (time.monotonic() if running else self._ended) - self._began
        return copy

    def __enter__(self) -> "Load":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        if kind is None:
            self.wait()

    def _guard(self, seed: int, number: int, of: int) -> None:
        try:
            self._write(Random(f"{seed} {number}"), number, of)
        except Exception as error:
            self._failure = error
            self._stopping.set()
        finally:
            self._ended = time.monotonic()

    def _write(self, rng: Random, number: int, of: int) -> None:
        """One writer: connect, work until the server goes away, back off, connect again."""
        schedule = _Schedule(self._began, number, of, self._rate, self._limit)
        failures = 0
        while not self._stopping.is_set():
            try:
                with self._connect(number) as connection:
                    writer = database.writer(connection, rng, number, of)
                    failures = 0
                    return self._work(connection, writer, schedule)
            except psycopg.OperationalError:
                self._add(reconnected=1)
                self._stopping.wait(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])
                failures += 1

    def _connect(self, number: int) -> psycopg.Connection[Any]:
        name = f"shop-load-{number}"
        connection = psycopg.connect(
            self._dsn, application_name=name, autocommit=True, connect_timeout=5
        )
        while connection.execute(database.LOAD["end_predecessor"], (name,)).fetchall():
            self._stopping.wait(0.02)
        return connection

    def _work(
        self, connection: psycopg.Connection[Any], writer: Writer, schedule: "_Schedule"
    ) -> None:
        while (wait_s := schedule.wait_s()) is not None:
            if self._stopping.wait(wait_s):
                return
            self._add(missed=schedule.skip())
            transaction = next_transaction(writer)
            pause_s = 1.5 * writer.of / self._rate if writer.rng.random() < _PAUSED else 0.0
            while not self._done(connection, transaction, min(pause_s, 0.05)):
                self._add(retried=1)

    def _done(
        self, connection: psycopg.Connection[Any], transaction: Transaction, pause_s: float
    ) -> bool:
        """Run it; False if the server chose it as the victim of a deadlock."""
        committing = False
        try:
            with connection.transaction(force_rollback=not transaction.keep):
                for step in transaction.steps:
                    _run(connection, step)
                if pause_s:
                    self._stopping.wait(pause_s)
                committing = transaction.keep
        except (DeadlockDetected, SerializationFailure):
            return False
        except psycopg.OperationalError:
            self._add(in_doubt=int(committing))
            raise
        self._add(
            kind=transaction.kind if transaction.keep else None, rolled_back=not transaction.keep
        )
        return True

    def _add(self, kind: str | None = None, **counts: int) -> None:
        with self._lock:
            if kind is not None:
                self._report.committed[kind] += 1
            for name, count in counts.items():
                setattr(self._report, name, getattr(self._report, name) + count)


class _Schedule:
    """When the transactions of one writer are due: fixed points in time, so nothing drifts."""

    def __init__(self, began: float, number: int, of: int, rate: float, limit: int | None) -> None:
        self._next = number
        self._of = of
        self._began = began
        self._rate = rate
        self._limit = limit

    def wait_s(self) -> float | None:
        """Seconds until the next is due, 0 if it is late; None after the last one."""
        if self._limit is not None and self._next >= self._limit:
            return None
        return max(0.0, self._due() - time.monotonic())

    def skip(self) -> int:
        """Take the next one; those more than a second late are left out, their number returned."""
        late = time.monotonic() - self._due() - _LATEST_S
        missed = max(0, int(late * self._rate / self._of)) if self._limit is None else 0
        self._next += self._of * (missed + 1)
        return missed

    def _due(self) -> float:
        return self._began + self._next / self._rate


def _run(connection: psycopg.Connection[Any], step: Step) -> None:
    statement = database.LOAD[step.statement]
    if not step.statement.startswith("copy_"):
        connection.execute(statement, step.parameters)
        return
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in step.parameters:
            copy.write_row(row)


def main(
    dsn_env: Annotated[str, typer.Option(help="The variable that holds the DSN.")] = "SHOP_DSN",
    rate: Annotated[float, typer.Option(min=0.1, help="Transactions a second.")] = 200.0,
    for_s: Annotated[float, typer.Option("--for", min=0.1, help="Seconds.")] = 30.0,
    writers: Annotated[int, typer.Option(min=1, max=50, help="Connections.")] = 4,
    seed: Annotated[int, typer.Option(help="The same seed, the same transactions.")] = 1,
) -> None:
    """Create and fill the shop if it is not there, then load it steadily."""
    dsn = os.environ.get(dsn_env)
    if not dsn:
        typer.echo(f"The variable {dsn_env} is not set; put the shop's DSN there.", err=True)
        raise typer.Exit(2)
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            if not database.is_created(connection):
                typer.echo("Creating the shop.", err=True)
                database.create(connection)
            if not database.is_filled(connection):
                typer.echo("Filling the shop.", err=True)
                database.fill(connection, seed=seed)
    except psycopg.OperationalError as error:
        typer.echo(f"The shop's database cannot be reached: {error}", err=True)
        raise typer.Exit(1) from None
    load = Load(dsn, rate=rate, writers=writers, seed=seed).start()
    try:
        for _ in range(int(for_s // 2)):
            load.wait(2.0)
            typer.echo(_line(load.report()), err=True)
        load.wait(for_s % 2)
    finally:
        report = load.stop()
    typer.echo(_line(report))
    for kind, count in sorted(report.committed.items()):
        typer.echo(f"{kind:<10} {count:>9}")


def _line(report: Report) -> str:
    return (
        f"{report.seconds:6.1f} s  {report.committed.total()} committed"
        f"  {report.rolled_back} rolled back  {report.per_second:.1f}/s"
        f"  retried {report.retried}  reconnected {report.reconnected}"
        f"  missed {report.missed}  in doubt {report.in_doubt}"
    )


if __name__ == "__main__":
    typer.run(main)
