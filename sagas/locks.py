"""
Semantic locks: what a step has touched is kept from other sagas until its own is over.

Wait-die: whoever is older than all that is in its way waits, whoever is younger is refused. Of
those that wait the youngest goes first. So everybody waits for younger ones alone, here and at all
other participants, and nobody can wait in a circle. A saga's age is its id (`wire.new_id`).
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from eventstore.contracts import Event
from sagas.declared import Action
from sagas.told import Connection, Handlers, Key, Told
from sagas.wire import Locked
from sinks.target import as_json, load_statements

STATEMENTS = load_statements(Path(__file__).with_name("locks.sql"))
TABLES = {"sagas.lock_wait": STATEMENTS["schema"]}
MOST_WAITING = 1000
LONGEST_BYTES = 1000


class Hold(NamedTuple):
    """The saga that has a resource, and the steps of it that took it."""

    saga: UUID
    steps: frozenset[str]


class Stash(NamedTuple):
    """A command that waits, with all that it takes to run it."""

    address: str
    command: str
    command_version: int
    reason: str
    message: str
    traceparent: str | None


class Blocked(NamedTuple):
    """What is in the way; `may_wait`: the asker is older than all of it."""

    locked: Locked
    may_wait: bool


def wanted(action: Action, command: Event) -> tuple[str, ...]:
    """The resources of a command. Raises ValueError for what can't be a name."""
    names = tuple(sorted(set(action.locks(command)))) if action.locks is not None else ()
    for name in names:
        if not 0 < len(name.encode()) <= LONGEST_BYTES or "\0" in name:
            raise ValueError(f"a resource's name has 1 to {LONGEST_BYTES} bytes, none of them 0")
    return names


@dataclass
class Locks:
    """
    Who has what, and who waits for what. Pure: a transaction decides on it, and StoredLocks keeps
    it. `freed` are resources for which somebody who waits may be let go on.
    """

    held: dict[str, Hold] = field(default_factory=dict)
    waiting: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    freed: set[str] = field(default_factory=set)
    _called: Key | None = None

    def ask(self, key: Key, resources: Sequence[str]) -> Blocked | None:
        """None: nothing is in the way, and it waits no longer if it did."""
        in_the_way = list(self._in_the_way(key[0], resources))
        if key not in self.waiting and key != self._called:
            in_the_way += self._spoken_for(key[0], resources)
        if not in_the_way:
            self.leave_queue(key)
            return None
        oldest, resource = min(in_the_way)
        is_full = any(self._others(key, each) >= MOST_WAITING for each in resources)
        locked = Locked(resource=resource, held_by=oldest)
        return Blocked(locked, may_wait=key[0] < oldest and not is_full)

    def take(self, key: Key, resources: Iterable[str]) -> None:
        """Nothing may be in the way."""
        saga, step = key
        for resource in resources:
            before = self.held.get(resource, Hold(saga, frozenset()))
            self.held[resource] = Hold(saga, before.steps | {step})

    def wait(self, key: Key, resources: Sequence[str]) -> None:
        """Until what is in its way is gone."""
        self.waiting[key] = tuple(resources)

    def leave(self, key: Key) -> None:
        """The step was undone, or will never be done."""
        saga, step = key
        self.leave_queue(key)
        for resource, hold in list(self.held.items()):
            if hold.saga != saga or step not in hold.steps:
                continue
            if rest := hold.steps - {step}:
                self.held[resource] = Hold(saga, rest)
            else:
                del self.held[resource]
                self.freed.add(resource)

    def end(self, saga: UUID) -> None:
        """The saga is over."""
        steps = {key[1] for key in self.waiting if key[0] == saga}
        for hold in self.held.values():
            steps |= hold.steps if hold.saga == saga else set()
        for step in steps:
            self.leave((saga, step))

    def leave_queue(self, key: Key) -> None:
        """It waits no longer, so it is in nobody's way."""
        self.freed.update(self.waiting.pop(key, ()))

    def next(self) -> Key | None:
        """Somebody for whom nothing is in the way any more: it waits no longer."""
        for key in sorted(self._concerned(), reverse=True):
            if not any(self._in_the_way(key[0], self.waiting[key])):
                self.leave_queue(key)
                self._called = key
                return key
        self.freed.clear()
        return None

    def _concerned(self) -> list[Key]:
        if not self.freed:
            return []
        return [key for key, names in self.waiting.items() if not self.freed.isdisjoint(names)]

    def _in_the_way(self, saga: UUID, resources: Sequence[str]) -> Iterable[tuple[UUID, str]]:
        """Other sagas that have one of these, and younger ones that wait for it."""
        for resource in resources:
            hold = self.held.get(resource)
            if hold is not None and hold.saga != saga:
                yield hold.saga, resource
            for (other, _), names in self.waiting.items():
                if other > saga and resource in names:
                    yield other, resource

    def _spoken_for(self, saga: UUID, resources: Sequence[str]) -> Iterable[tuple[UUID, str]]:
        """
        Older ones that wait for several things: what of it is free is not given to who comes new,
        or they might never find all of it free.
        """
        for resource in set(resources) - self.held.keys():
            for (other, _), names in self.waiting.items():
                if other < saga and resource in names:
                    yield other, resource

    def _others(self, key: Key, resource: str) -> int:
        return sum(resource in names for each, names in self.waiting.items() if each != key)


class StoredLocks(Locks):
    """Of a participant's database, as one transaction sees and changes it."""

    def __init__(self, tx: Connection) -> None:
        super().__init__()
        self._tx = tx
        self._known: set[str] = set()
        self._held_before: dict[str, Hold] = {}
        self._waiting_before: set[Key] = set()
        self._stashed: dict[Key, Stash] = {}

    def know(self, resources: Iterable[str]) -> None:
        """From here on nobody else decides about these."""
        if not (new := sorted(set(resources) - self._known)):
            return
        self._tx.execute(STATEMENTS["guard"], [new])
        for resource, saga, steps in self._tx.execute(STATEMENTS["held"], [new]):
            hold = Hold(saga, frozenset(msgspec.json.decode(steps, type=list[str])))
            self.held[resource] = self._held_before[resource] = hold
        for saga, step, names in self._tx.execute(STATEMENTS["waiting"], [new]):
            if (saga, step) not in self._waiting_before:
                self._waiting_before.add((saga, step))
                self.waiting[saga, step] = tuple(names)
        self._known.update(new)

    def know_of(self, sagas: Iterable[UUID]) -> None:
        """All that these sagas hold or wait for."""
        if named := list(sagas):
            rows = self._tx.execute(STATEMENTS["concerned"], {"sagas": named})
            self.know(resource for (resource,) in rows.fetchall())

    def stash(self, key: Key, resources: Sequence[str], stash: Stash) -> bool:
        """False where it waits already."""
        if is_new := key not in self.waiting:
            self.wait(key, resources)
            self._stashed[key] = stash
        return is_new

    def next_stash(self) -> tuple[Key, Stash] | None:
        """What is to be run now, since what it waited for is free."""
        while (
            more := {name for key in self._concerned() for name in self.waiting[key]} - self._known
        ):
            self.know(more)
        if (key := self.next()) is None:
            return None
        if (stash := self._stashed.pop(key, None)) is None:
            (row,) = self._tx.execute(STATEMENTS["stashed"], key).fetchall()
            stash = Stash(*row)
        return key, stash

    def write(self) -> None:
        """What has changed, with at most a statement for each kind."""
        held = {
            name: hold for name, hold in self.held.items() if self._held_before.get(name) != hold
        }
        if free := self._held_before.keys() - self.held.keys():
            self._tx.execute(STATEMENTS["free"], [list(free)])
        if held:
            rows = (
                {"resource": name, "saga": hold.saga, "steps": sorted(hold.steps)}
                for name, hold in held.items()
            )
            self._tx.execute(STATEMENTS["hold"], [as_json(rows)])
        new = [key for key in self._stashed if key in self.waiting]
        left = {key for key in self._waiting_before if key not in self.waiting}
        if through := left | (self._waiting_before & set(new)):
            gone = ({"saga": saga, "step": step} for saga, step in through)
            self._tx.execute(STATEMENTS["unstash"], [as_json(gone)])
        if new:
            stashes = (
                {
                    "saga": saga,
                    "step": step,
                    "resources": self.waiting[saga, step],
                    **self._stashed[saga, step]._asdict(),
                }
                for saga, step in new
            )
            self._tx.execute(STATEMENTS["stash"], [as_json(stashes)])


def before_fences(
    tx: Connection, handlers: Handlers, commands: Sequence[Told], over: Sequence[UUID]
) -> StoredLocks:
    """
    All that a transaction needs to know. Locks come before fences, in every transaction: so none
    waits for another in a circle.
    """
    there = StoredLocks(tx)
    resources: set[str] = set()
    for told in commands:
        action = handlers.actions[told.at.action]
        if told.direction == "do" and action.locks is not None:
            with suppress(Exception):  # then it fails where it is run, and is answered so
                resources.update(wanted(action, told.command()))
    there.know(resources)
    there.know_of([*over, *_undone(handlers, commands)])
    return there


def after_fences(
    there: StoredLocks, handlers: Handlers, commands: Sequence[Told], over: Sequence[UUID]
) -> None:
    """Also what another process has done of these steps until now; and the end of sagas."""
    there.know_of(_undone(handlers, commands))
    for saga in over:
        there.end(saga)


def _undone(handlers: Handlers, commands: Sequence[Told]) -> list[UUID]:
    return [
        told.saga
        for told in commands
        if told.direction == "undo" and handlers.actions[told.at.action].locks is not None
    ]
