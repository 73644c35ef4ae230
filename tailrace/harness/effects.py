"""
Exactly once in effect, as the target itself saw it: a trigger notes every effect on a row.

Rows of our own sink say which change they come from (`_cdc_*`), so each effect is judged by its
position. Rows of other sinks do not: for them, the effects on a key are counted against the
changes of that key in Kafka, so that a repeat is hidden by a change that was left out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from connectors.position import lsn as shown_lsn
from sinks.target import load_statements
from tailrace.harness.topics import Event

STATEMENTS = load_statements(Path(__file__).with_name("effects.sql"))
NAMED = 20  # the most findings that a message names
Connection = psycopg.Connection[Any]


def watch(target: Connection, tables: Mapping[str, str]) -> None:
    """Note effects on those of the target's `tables` (by the source's name) that are there."""
    target.execute(STATEMENTS["diary"])
    for name, own in tables.items():
        there = target.execute(
            "SELECT to_regclass(%s) IS NOT NULL", [sql.Identifier(*own.split(".", 1)).as_string()]
        ).fetchone()
        if there and there[0]:
            target.execute(
                sql.SQL(STATEMENTS["watch"]).format(
                    table=sql.Identifier(*own.split(".", 1)), relation=sql.Literal(name)
                )
            )


def counts(target: Connection, tables: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """
    How many effects each table had, and whether their positions are known.

    Raises AssertionError for a table that was not watched, and when there was no effect at all.
    """
    if target.execute("SELECT to_regclass('tailrace_test.effects') IS NULL").fetchone() == (True,):
        raise AssertionError(
            "No effects were noted: start the worker with `start()`, of a pipeline that was made"
            " without `effects=False`."
        )
    watched = {name for (name,) in target.execute(STATEMENTS["watched"])}
    for table in tables:
        assert table in watched, (
            f"The effects on {table} were not noted, since the target had no such table when the"
            " worker started: create it before, for instance with `target_ddl`."
        )
    rows = target.execute(STATEMENTS["counts"], [list(tables)])
    found = {table: (count, known) for table, count, known in rows}
    assert found, f"There was no effect on {', '.join(tables)} at all, so nothing can be judged."
    return found


def assert_once(
    target: Connection, tables: Sequence[str], events: Mapping[str, Iterable[Event]]
) -> None:
    """
    No change of `tables` took effect twice; `events` are those of tables without positions.

    Raises AssertionError naming table, key, position, and how often.
    """
    found = [
        f"{table} {key}: {len(ops)} effects ({', '.join(ops)}) of the one change at"
        f" {_at(commit, lsn)}"
        for table, key, commit, lsn, ops in target.execute(STATEMENTS["twice"], [list(tables)])
    ]
    for table, of_table in events.items():
        found += _more_than_changes(target, table, of_table)
    assert not found, _listed("changes took effect more than once", found)


def assert_in_order(target: Connection, tables: Sequence[str]) -> None:
    """No row went back to an older change. Raises AssertionError naming table, key, positions."""
    found = [
        f"{table} {key}: {op} at {_at(commit, lsn)} after {_at(commit_before, lsn_before)}"
        for table, key, op, commit, lsn, commit_before, lsn_before in target.execute(
            STATEMENTS["backwards"], [list(tables)]
        )
    ]
    assert not found, _listed("rows went back to an older change", found)


def _more_than_changes(target: Connection, table: str, events: Iterable[Event]) -> list[str]:
    changes: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for event in events:
        if event.key is not None:
            changes[_key(event.key)].add((event.lsn, event.op))
    found = []
    for key, ops in target.execute(STATEMENTS["by_key"], [table]):
        known = sorted(changes[key])
        if len(ops) > len(known):
            positions = ", ".join(shown_lsn(lsn) for lsn, _ in known)
            of = f"{len(known)} change(s) at {positions}" if known else "no change in Kafka"
            often = ", ".join(f"{count} {op}" for op, count in Counter(ops).items())
            found.append(f"{table} {key}: {len(ops)} effects ({often}) of {of}")
    return found


def _key(key: Mapping[str, Any]) -> str:
    """As the trigger writes it."""
    return ", ".join(f"{name}={_text(value)}" for name, value in sorted(key.items()))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(commit: int, lsn: int) -> str:
    return shown_lsn(lsn) if commit < 0 else f"{shown_lsn(lsn)} (after commit {shown_lsn(commit)})"


def _listed(what: str, found: Sequence[str]) -> str:
    more = f"\n    and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{len(found)} {what}:\n    " + "\n    ".join(found[:NAMED]) + more
