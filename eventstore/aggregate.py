"""
States that are folds of events, with snapshots, and commands that are decided on them.

    execute(tx, ACCOUNT, "42", decide, Withdraw(amount=20))
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from eventstore.contracts import Contracts, Event, Invalid
from eventstore.recorded import NO_META, Connection, Meta, Recorded
from eventstore.store import STATEMENTS, At, Conflict, append, category, length, read

S = TypeVar("S", bound=BaseModel)
C = TypeVar("C")

_END = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Aggregate(Generic[S]):
    """
    How the state of the streams of a category comes about: `initial`, and `evolve` for each event.

    `evolve` is pure and knows every event of the category. Raise `schema_version` whenever it or
    the state's model changes: snapshots of other versions are not used. `snapshot_every` is in
    events; 0 means never.
    """

    contracts: Contracts
    category: str
    initial: S
    evolve: Callable[[S, Event], S]
    schema_version: int = 1
    snapshot_every: int = 100

    def stream(self, id_: str) -> str:
        """The name of one's stream."""
        return f"{self.category}-{id_}"

    def id_of(self, stream: str) -> str:
        """The id in the name of a stream. Raises Invalid for one of another category."""
        if category(stream) != self.category:
            raise Invalid(f"{stream} is no stream of the category {self.category}")
        return stream.removeprefix(f"{self.category}-")

    def fold(self, events: Sequence[Event], state: S | None = None) -> S:
        """The state after these events."""
        state = self.initial if state is None else state
        for event in events:
            state = self.evolve(state, event)
        return state


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A state, and how many events have led to it."""

    state: S
    version: int


def load_state(tx: Connection, aggregate: Aggregate[S], id_: str, at: At = None) -> Loaded[S]:
    """
    From the newest snapshot that may be used, and the events after it; `initial` at version 0 if
    the stream is not there. Raises Invalid for an event that these contracts cannot read.
    """
    stream = aggregate.stream(id_)
    stop = length(tx, stream, at) if isinstance(at, datetime) else at
    begin = _snapshot(tx, aggregate, stream, _END if stop is None else stop)
    return folded(tx, aggregate, stream, begin, stop)


def folded(
    tx: Connection,
    aggregate: Aggregate[S],
    stream: str,
    begin: Loaded[S] | None = None,
    stop: int | None = None,
) -> Loaded[S]:
    """`begin`, or `initial`, with the events after it up to version `stop`; without snapshots."""
    state, version = (aggregate.initial, 0) if begin is None else (begin.state, begin.version)
    for recorded in read(tx, aggregate.contracts, stream, version, stop):
        state, version = aggregate.evolve(state, recorded.event), recorded.pos + 1
    return Loaded(state, version)


def _snapshot(
    tx: Connection, aggregate: Aggregate[S], stream: str, before: int
) -> Loaded[S] | None:
    values = [stream, aggregate.schema_version, before]
    row = tx.execute(STATEMENTS["snapshot"], values).fetchone()
    if row is None:
        return None
    try:
        return Loaded(type(aggregate.initial).model_validate_json(row[1]), row[0] + 1)
    except (
        ValidationError
    ):  # the model was changed under one schema version: the events know better
        return None


def save_snapshot(tx: Connection, aggregate: Aggregate[S], id_: str, loaded: Loaded[S]) -> None:
    """Stores a state that `load_state` gave; of version 0 there is nothing to store."""
    if loaded.version:
        values = (
            aggregate.stream(id_),
            aggregate.schema_version,
            loaded.version - 1,
            loaded.state.model_dump_json(),
        )
        tx.execute(STATEMENTS["save_snapshot"], values)


def execute(
    tx: Connection,
    aggregate: Aggregate[S],
    id_: str,
    decide: Callable[[S, C], Sequence[Event]],
    command: C,
    *,
    meta: Meta = NO_META,
    attempts: int = 5,
) -> tuple[Recorded, ...]:
    """
    Loads the state, lets `decide` say what happens, appends that, and saves a snapshot when one is
    due; all in the caller's transaction. What `decide` raises is raised: nothing has happened then.

    Raises Conflict if others were quicker `attempts` times.
    """
    for left in reversed(range(attempts)):
        loaded = load_state(tx, aggregate, id_)
        events = decide(loaded.state, command)
        if not events:
            return ()
        try:
            recorded = append(
                tx,
                aggregate.contracts,
                aggregate.stream(id_),
                events,
                expected=loaded.version,
                meta=meta,
            )
        except Conflict:
            if not left:
                raise
            continue
        after = Loaded(aggregate.fold(events, loaded.state), loaded.version + len(events))
        every = aggregate.snapshot_every
        if every and after.version // every > loaded.version // every:
            save_snapshot(tx, aggregate, id_, after)
        return recorded
    raise ValueError("a command needs at least one attempt")
