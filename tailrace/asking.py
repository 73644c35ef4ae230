"""Questions to several servers at once, none of which may keep a person waiting."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from tailrace.databases import Connection, connect, why
from tailrace.exits import Problem

CONNECT_WITHIN_S = 2  # the least that libpq knows
ANSWER_WITHIN_S = 2


class Away(Exception):
    """Why nothing is known of a server, as a sentence that names it; also stands for its answer."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def ask(questions: Mapping[str, Callable[[], Any]], within_s: float) -> dict[str, Any]:
    """
    The answer of each, or an Away: the one it raised, or that of a server which is still silent
    after `within_s`. Its thread is left behind and ends with the process.
    """
    answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def put(name: str, question: Callable[[], Any]) -> None:
        try:
            answers.put((name, question()))
        except Away as away:
            answers.put((name, away))

    for name, question in questions.items():
        threading.Thread(target=put, args=(name, question), name=name, daemon=True).start()
    silent = f"does not answer within {within_s:.0f} s"
    found: dict[str, Any] = {}
    until_s = time.monotonic() + within_s
    while len(found) < len(questions):
        try:
            name, answer = answers.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            break
        found[name] = answer
    return {name: found.get(name, Away(f"{name} {silent}.")) for name in questions}


@contextmanager
def database(dsn: str, what: str) -> Iterator[Connection]:
    """As `databases.connect`, in autocommit mode and impatient. Raises Away."""
    try:
        with connect(dsn, what, within_s=CONNECT_WITHIN_S) as connection:
            connection.autocommit = True
            connection.execute(f"SET statement_timeout = {ANSWER_WITHIN_S * 1000:d}")
            yield connection
    except Problem as problem:
        raise Away(problem.sentence) from problem
    except psycopg.Error as error:
        raise Away(f"The {what} did not answer a question: {why(error)}.") from error
