"""What Postgres' errors mean for the loop, in sentences that never carry a row's values."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import errors

from consumer.errors import Busy, Rejected
from consumer.event import ChangeEvent

Refuses = Callable[[Sequence[ChangeEvent]], psycopg.Error | None]


@contextmanager
def as_busy(tables: Sequence[str]) -> Iterator[None]:
    """What may pass, or what a person can mend while the changes wait, becomes Busy."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName) as error:
        raise Busy(
            f"the target lacks what is to be written ({error.diag.message_primary}): "
            "run `tailrace schema apply`; the changes wait"
        ) from error
    except errors.InsufficientPrivilege as error:
        raise Busy(
            f"the sink's role may not write the target ({error.diag.message_primary}): grant it "
            "SELECT, INSERT, UPDATE, DELETE on the tables and on schema tailrace; the changes wait"
        ) from error
    except psycopg.OperationalError as error:
        text = error.diag.message_primary or str(error).strip().splitlines()[-1]
        raise Busy(f"the target database cannot take it now: {text}") from error


@contextmanager
def closing(close: Callable[[], None], whose: str, mend: str) -> Iterator[None]:
    """
    Around the work of a sink that runs people's code: whatever it raises, `close` ends the
    session, since half a batch must not be committed with the next. What the database refuses, as
    by a constraint that is checked at the commit, becomes Busy, which says to `mend` it.
    """
    try:
        with as_busy(()):
            yield
    except psycopg.Error as error:
        close()
        why = f"the database refuses what {whose} wrote ({told(error)}): {mend}"
        raise Busy(why) from error
    except BaseException:
        close()
        raise


def told(error: psycopg.Error) -> str:
    """The server's sentence, which holds no values; without one the error's name."""
    return error.diag.message_primary or type(error).__name__


def find(changes: Sequence[ChangeEvent], refuses: Refuses, error: psycopg.Error) -> Rejected:
    """
    The changes that the target refuses, found by halving: about 2 log2(n) tries for one of them.

    Raises Busy if none is refused alone: then it is no matter of one row.
    """
    refused: list[tuple[ChangeEvent, str]] = []
    pending = [list(changes)]
    while pending:
        part = pending.pop()
        cause = refuses(part)
        if cause is None:
            continue
        if len(part) == 1:
            refused.append((part[0], sentence(part[0], cause)))
        else:
            middle = len(part) // 2
            pending += [part[middle:], part[:middle]]
    if not refused:
        raise Busy(
            f"changes break a rule of the target together that none breaks alone "
            f"({error.diag.constraint_name or error.diag.sqlstate}): drop that rule from the "
            "target, the source has its own; the changes wait"
        ) from error
    return Rejected(refused)


def sentence(change: ChangeEvent, error: psycopg.Error) -> str:
    """Which rule of the target a change breaks; the rule's name, never the row's values."""
    diag = error.diag
    state = f"{diag.sqlstate} {type(error).__name__}"
    if diag.constraint_name:
        return f"{change.table} refuses it by constraint {diag.constraint_name} ({state})"
    column = diag.column_name or _copied_column(diag.context or "")
    if column:
        return f"{change.table} refuses the value of column {column} ({state})"
    return f"{change.table} refuses it ({state})"


def _copied_column(context: str) -> str | None:
    match = re.search(r"^COPY .*, line \d+, column (.+?)(?::|$)", context, re.MULTILINE)
    return match[1] if match else None
