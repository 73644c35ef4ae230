"""
Customers at work: deposits and withdrawals on a few accounts, by several writers at once.

    BANK_DSN=postgresql://… python -m examples.bank.load --accounts 20 --writers 4 --commands 1000

No cent is lost or made, which it checks at its end.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Annotated

import psycopg
import typer

from eventstore.aggregate import execute, load_state
from eventstore.recorded import Meta
from eventstore.store import create_schema
from examples.bank.account import Deposit, Open, Refused, Withdraw, account, decide

DEPOSIT_SHARE = 0.6
ATTEMPTS = 50


@dataclass
class Done:
    """What came of the commands of one writer, or of all; `cents` is what they paid in, net."""

    done: int = 0
    refused: int = 0
    cents: int = 0

    def __add__(self, other: "Done") -> "Done":
        return Done(self.done + other.done, self.refused + other.refused, self.cents + other.cents)


def open_accounts(dsn: str, accounts: int) -> None:
    """Accounts 0 to `accounts`, where they are not open yet."""
    with psycopg.connect(dsn) as connection:
        create_schema(connection)
        for number in range(accounts):
            if load_state(connection, account, str(number)).version == 0:
                command = Open(customer=f"customer-{number}", owner=f"Owner of {number}")
                execute(connection, account, str(number), decide, command)


def total_cents(dsn: str, accounts: int) -> int:
    """All that is in the bank."""
    with psycopg.connect(dsn) as connection:
        states = (load_state(connection, account, str(number)) for number in range(accounts))
        return sum(loaded.state.balance_cents for loaded in states)


def work(dsn: str, accounts: int, commands: int, seed: int) -> Done:
    """One writer's commands, each in a transaction of its own."""
    rng, done = Random(seed), Done()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(commands):
            id_, amount = str(rng.randrange(accounts)), rng.randrange(1, 10_000)
            deposits = rng.random() < DEPOSIT_SHARE
            command = Deposit(amount) if deposits else Withdraw(amount)
            meta = Meta(correlation=f"{seed}/{number}", actor=f"writer {seed}")
            try:
                with connection.transaction():
                    execute(connection, account, id_, decide, command, meta=meta, attempts=ATTEMPTS)
            except Refused:
                done += Done(refused=1)
            else:
                done += Done(done=1, cents=amount if deposits else -amount)
    return done


def work_together(dsn: str, accounts: int, writers: int, commands: int, seed: int = 1) -> Done:
    """All writers at once, on accounts that are open."""
    with ThreadPoolExecutor(writers) as pool:
        each = [
            pool.submit(work, dsn, accounts, commands // writers, seed + number)
            for number in range(writers)
        ]
        return sum((one.result() for one in each), Done())


def main(
    accounts: Annotated[int, typer.Option(min=1)] = 20,
    writers: Annotated[int, typer.Option(min=1, max=50)] = 4,
    commands: Annotated[int, typer.Option(min=1, help="Of all writers together.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed, the same commands.")] = 1,
) -> None:
    """Open accounts, and let customers work."""
    dsn = os.environ.get("BANK_DSN")
    if not dsn:
        typer.echo("The variable BANK_DSN is not set; put the bank's DSN there.", err=True)
        raise typer.Exit(2)
    try:
        open_accounts(dsn, accounts)
        before = total_cents(dsn, accounts)
        found = work_together(dsn, accounts, writers, commands, seed)
        after = total_cents(dsn, accounts)
    except psycopg.OperationalError as error:
        typer.echo(f"The bank's database cannot be reached: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{found.done} done, {found.refused} refused; {after} cents are in the bank.")
    if after != before + found.cents:
        typer.echo(f"{after - before - found.cents} cents have come from nowhere.", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
