"""Locks under every fault: nobody waits in a circle, and what is over holds nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas import fence, locks
from sagas.fence import Fence
from sagas.locks import Locks
from sagas.protocol import Input, Style
from sagas.told import Key
from sagas.wire import Locked, new_id
from tests.sagaplans import TOUR, plan_of
from tests.simulated import Faults, Simulated

STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
ROUGH = Faults(
    lost=0.1, repeated=0.2, died_before=0.1, died_after=0.1, failed=0.1, refused=0.15, late_s=3.0
)
SAGAS, FEW, RESOURCES = 40, 24, 6


def wrong(there: Locks) -> str | None:
    """Who waits for an older one; then a circle is possible."""
    for (saga, _), names in there.waiting.items():
        if any(other <= saga for other, _ in there._in_the_way(saga, names)):
            return "waits for an older saga"
    return None


@dataclass
class Locking(Simulated):
    """Each participant's action needs two things that other sagas need, too."""

    on_locked: Literal["refuse", "wait"] = "wait"
    locks: list[Locks] = field(default_factory=list)
    over: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.locks = [Locks() for _ in self.plan.steps]

    def _names(self, number: int, i: int) -> list[str]:
        if i in self.plan.after_pivot:
            return []
        return sorted({str(number % RESOURCES), str(number * (7 + i) % 11 % RESOURCES)})

    def _commit(self, number: int, i: int, act: fence.Act, after: Fence) -> None:
        fences, key = self.runs[number].fences, _key(number, i)
        if act == "run the action" and self._is_kept_off(number, i):
            self._go_on(i)
            return
        super()._commit(number, i, act, after)
        if act == "run the action" and fences[i] == "DONE":
            self.locks[i].take(key, self._names(number, i))
        elif fences[i] in ("UNDONE", "VOIDED"):
            self.locks[i].leave(key)
        self._go_on(i)

    def _is_kept_off(self, number: int, i: int) -> bool:
        key, names = _key(number, i), self._names(number, i)
        if (blocked := self.locks[i].ask(key, names)) is None:
            return False
        if blocked.may_wait and self.on_locked == "wait":
            self.happened["waited"] += key not in self.locks[i].waiting
            self.locks[i].wait(key, names)
        else:
            self.happened["gave way"] += 1
            self.locks[i].leave(key)
            self.runs[number].fences[i] = "REFUSED"
        return True

    def _go_on(self, i: int) -> None:
        while (key := self.locks[i].next()) is not None:
            number = key[0].int
            act, after = fence.act_on(self.runs[number].fences[i], "do", is_final=False)
            self.happened["went on"] += act == "run the action"
            self._commit(number, i, act, after)
            self._answer(number, i)
        self._note(i, wrong(self.locks[i]))
        there = [hold.saga for hold in self.locks[i].held.values()]
        there += [saga for saga, _ in self.locks[i].waiting]
        for saga in there:
            late = (saga.int, i) in self.over
            self._note(saga.int, "something is kept for what is over" if late else None)

    def _input(self, number: int, input: Input) -> None:
        before = self.runs[number].ended_s
        super()._input(number, input)
        if before is None and self.runs[number].ended_s is not None:
            for i in range(len(self.plan.steps)):
                for _ in range(2):
                    self._later(self.random.random() * 30, "ended", number, i)

    def _ended(self, number: int, i: int) -> None:
        self.over.add((number, i))
        self.locks[i].end(_key(number, i)[0])
        self._go_on(i)


def _key(number: int, i: int) -> Key:
    return UUID(int=number), str(i)


def simulated(
    style: Style, seed: int, on_locked: Literal["refuse", "wait"] = "wait", sagas: int = SAGAS
) -> Locking:
    plan = plan_of(TOUR, tries=3)
    made = Locking(plan, style, seed, ROUGH, deadline_share=0.2, on_locked=on_locked)
    made.run(sagas)
    return made


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(3))
def test_all_end_and_nothing_is_kept_for_them(seed: int, style: Style) -> None:
    made = simulated(style, seed)
    assert made.wrong == []
    assert {run.saga.status for run in made.runs} == {"COMPLETED", "COMPENSATED"}
    assert all(made.happened[each] for each in ("waited", "gave way", "went on", "lost", "failed"))
    assert [there for there in made.locks if there.held or there.waiting] == []


@pytest.mark.parametrize("style", STYLES)
def test_nobody_waits_where_all_are_refused(style: Style) -> None:
    made = simulated(style, 0, "refuse")
    assert made.wrong == []
    assert made.happened["gave way"]
    assert not made.happened["waited"]
    assert [there for there in made.locks if there.held] == []


def patient(there: Locks, key: Key, names: list[str]) -> locks.Blocked | None:
    """Whoever comes waits."""
    blocked = ASK(there, key, names)
    return blocked and blocked._replace(may_wait=True)


def holders_only(there: Locks, saga: UUID, names: list[str]) -> Iterator[tuple[UUID, str]]:
    """Who waits is in nobody's way."""
    for name in names:
        if name in there.held and there.held[name].saga != saga:
            yield there.held[name].saga, name


ASK = Locks.ask


@pytest.mark.parametrize(
    ("guard", "instead", "sentence"),
    [
        ("ask", patient, "waits for an older saga"),
        ("_in_the_way", holders_only, "waits for an older saga"),
        ("end", lambda there, saga: None, "something is kept for what is over"),
        ("leave", lambda there, key: None, "something is kept for what is over"),
    ],
)
def test_what_is_broken_is_noticed(
    guard: str, instead: object, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Locks, guard, instead)
    runs = (simulated("orchestrated", seed, sagas=FEW) for seed in range(10))
    assert any(each.endswith(sentence) for run in runs for each in run.wrong)


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["ask", "leave", "end"]), st.integers(0, 7), st.sampled_from("xy"), NAMES
    ),
    max_size=40,
)


def move(there: Locks, what: str, key: Key, names: list[str]) -> None:
    if what == "leave":
        there.leave(key)
    elif what == "end":
        there.end(key[0])
    elif (blocked := there.ask(key, names)) is None:
        there.take(key, names)
    elif blocked.may_wait:
        there.wait(key, names)
    waiting = dict(there.waiting)
    while (woken := there.next()) is not None:
        there.take(woken, waiting[woken])


@given(MOVES)
def test_older_ones_wait_for_younger_ones_only(
    moves: list[tuple[str, int, str, list[str]]],
) -> None:
    there = Locks()
    for what, number, step, names in moves:
        move(there, what, (UUID(int=number), step), names)
        assert wrong(there) is None
        stuck = [key for key, names in there.waiting.items() if not there.held.keys() & names]
        assert not stuck or any(there.held.keys() & names for names in there.waiting.values())
    for number in range(8):
        move(there, "end", (UUID(int=number), ""), [])
    assert (there.held, there.waiting) == ({}, {})


def test_what_is_free_is_kept_for_an_older_one_that_waits_for_more() -> None:
    old, new, holder = ((UUID(int=number), "") for number in (1, 5, 9))
    there = Locks()
    there.take(holder, ["b"])
    assert there.ask(old, ["a", "b"]) == (Locked(resource="b", held_by=holder[0]), True)
    there.wait(old, ["a", "b"])
    assert there.ask(new, ["a"]) == (Locked(resource="a", held_by=old[0]), False)
    there.leave(holder)
    assert there.next() == old


def test_ids_are_in_the_order_of_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert [each.int >> 80 for each in ids] == sorted(each.int >> 80 for each in ids)
