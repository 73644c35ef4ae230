"""
Many sagas in one process, with a clock of its own and everything that may go wrong: a log that
repeats, delays, reorders between topics and loses until a timer sends again; participants that die
before or after they have committed; code that fails. All of it comes from one seed.

The protocol is the production code; what is simulated is the adapters around it.
"""

from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any

from sagas import fence, protocol
from sagas.fence import Direction, Fence
from sagas.invariants import wrong_move, wrong_state
from sagas.plan import Plan
from sagas.protocol import (
    ENDED,
    STUCK,
    Await,
    GiveUp,
    Input,
    Reply,
    Resume,
    Saga,
    Send,
    Style,
    TimedOut,
)
from sagas.reaction import reaction

PATIENCE_S = 60.0
"""After which a person resumes what is parked."""
LONGEST_S = 5_000.0
"""What has not ended by then never will."""


@dataclass(frozen=True)
class Faults:
    """Probabilities, each of one delivery, and what participants refuse by their own will."""

    lost: float = 0.0
    repeated: float = 0.0
    died_before: float = 0.0
    died_after: float = 0.0
    failed: float = 0.0
    refused: float = 0.0
    late_s: float = 0.0
    until_s: float = 600.0


@dataclass(slots=True)
class Run:
    """One saga: itself, and of each step its fence, how often it was done and undone, and what
    its participant has heard."""

    saga: Saga
    fences: list[Fence | None]
    done: list[int]
    undone: list[int]
    heard: list[dict[int, Fence]]
    ended_s: float | None = None


@dataclass
class Simulated:
    """`stock`: how much each participant has; None is no bound. `committed`: in order of commit."""

    plan: Plan
    style: Style
    seed: int
    faults: Faults
    stock: int | None = None
    deadline_share: float = 0.0
    runs: list[Run] = field(default_factory=list)
    committed: list[tuple[int, int, Direction]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.now_s = 0.0
        self.queue: list[tuple[float, int, str, tuple[Any, ...]]] = []
        self.order = 0
        self.free = [self.stock] * len(self.plan.steps)
        self.last_s: dict[tuple[str, int, int], float] = {}

    def run(self, sagas: int) -> "Simulated":
        """Until nothing happens any more, and every saga has to have ended."""
        for number in range(sagas):
            n = len(self.plan.steps)
            saga, effects = protocol.begin(self.plan, self.style)
            heard: list[dict[int, Fence]] = [{} for _ in range(n)]
            self.runs.append(Run(saga, [None] * n, [0] * n, [0] * n, heard))
            self._obey(number, effects)
            if self.style == "choreographed":
                for i in range(n):
                    self._react(number, i)
            if self.random.random() < self.deadline_share:
                self._later(self.random.uniform(0, 20), "input", number, GiveUp())
        while self.queue:
            self.now_s, _, kind, args = heappop(self.queue)
            if self.now_s > LONGEST_S:
                break
            getattr(self, f"_{kind}")(*args)
        for number, run in enumerate(self.runs):
            self._note(number, "has no end" if run.ended_s is None else None)
        return self

    def outcomes(self) -> Counter[tuple[str, tuple[int, ...]]]:
        """How many sagas ended how, and with which effects standing."""
        return Counter(
            (run.saga.status, tuple(d - u for d, u in zip(run.done, run.undone, strict=True)))
            for run in self.runs
        )

    def _later(self, seconds: float, kind: str, *args: Any) -> None:
        self.order += 1
        heappush(self.queue, (self.now_s + seconds, self.order, kind, args))

    def _happens(self, fault: str) -> bool:
        share: float = getattr(self.faults, fault)
        happens = self.now_s < self.faults.until_s and self.random.random() < share
        self.happened[fault] += happens
        return happens

    def _put(self, topic: str, kind: str, number: int, i: int, *args: Any) -> None:
        """Into a topic, whose order for one saga is kept, but for what is read again."""
        if self._happens("lost"):
            return
        at = self.now_s + 0.01 + self.random.random() * self.faults.late_s
        at = max(at, self.last_s.get((topic, number, i), 0.0))
        self.last_s[topic, number, i] = at
        self._later(at - self.now_s, kind, number, i, *args)
        while self._happens("repeated"):
            late = self.random.random() * 10 * self.faults.late_s
            self._later(at - self.now_s + late, kind, number, i, *args)

    # The saga's side

    def _input(self, number: int, input: Input) -> None:
        run = self.runs[number]
        before = run.saga
        run.saga, effects = protocol.transition(self.plan, before, input)
        self._note(number, wrong_move(self.plan, before, input, run.saga, effects))
        if before.status not in ENDED and run.saga.status in ENDED:
            run.ended_s = self.now_s
            self._note(number, wrong_state(self.plan, run.saga, self._at(run)))
        if before.status not in STUCK and run.saga.status in STUCK:
            self.happened["parked"] += 1
            self._later(PATIENCE_S, "input", number, Resume())
        self._obey(number, effects)

    def _obey(self, number: int, effects: protocol.Effects) -> None:
        for effect in effects:
            i = effect.step
            if isinstance(effect, Send):
                self._put("commands", "command", number, i, effect.direction)
            if isinstance(effect, Send | Await):
                tries = self.runs[number].saga.steps[i].tries
                wait_s = self.plan.steps[i].wait_s(tries)
                self._later(wait_s, "input", number, TimedOut(i, tries))

    # The participants' side

    def _command(self, number: int, i: int, way: Direction) -> None:
        run = self.runs[number]
        act, after = fence.act_on(run.fences[i], way, is_final=i == self.plan.pivot)
        if self._happens("died_before"):
            self._later(1.0, "command", number, i, way)
            return
        if act != "nothing" and self._happens("failed"):
            self._put("replies", "reply", number, i, "FAILED")
            return
        self._commit(number, i, act, after)
        self._answer(number, i)
        if self._happens("died_after"):
            self._later(1.0, "command", number, i, way)

    def _answer(self, number: int, i: int) -> None:
        said = self.runs[number].fences[i]
        if said is None:  # it waits
            return
        self._put("replies", "reply", number, i, said)
        if self.style == "choreographed":
            for other in range(len(self.plan.steps)):
                self._put(f"events to {other}", "event", number, i, said, other)

    def _commit(self, number: int, i: int, act: fence.Act, after: Fence) -> None:
        run = self.runs[number]
        if act == "run the action" and self._refuses(number, i):
            run.fences[i] = "REFUSED"
            return
        run.fences[i] = after
        if act == "nothing":
            return
        way: Direction = "do" if act == "run the action" else "undo"
        counts, change = (run.done, -1) if way == "do" else (run.undone, 1)
        counts[i] += 1
        if (free := self.free[i]) is not None:
            self.free[i] = free + change
        self.committed.append((number, i, way))
        self._note(number, self._wrong_commit(number, run, i))

    def _refuses(self, number: int, i: int) -> bool:
        """By its stock, or by the seed alone, so in both styles alike."""
        if i in self.plan.after_pivot:
            return False
        if self.free[i] == 0:
            return True
        return Random(f"{self.seed} {number} {i}").random() < self.faults.refused

    def _reply(self, number: int, i: int, said: Any) -> None:
        self._input(number, Reply(i, said))

    def _event(self, number: int, i: int, said: Fence, other: int) -> None:
        heard = self.runs[number].heard[other]
        if not (said == "DONE" and heard.get(i) == "UNDONE"):
            heard[i] = said
        self._react(number, other)

    def _react(self, number: int, i: int) -> None:
        run = self.runs[number]
        way = reaction(self.plan, i, run.heard[i])
        if way is not None and fence.act_on(run.fences[i], way, is_final=i == self.plan.pivot) != (
            "nothing",
            run.fences[i],
        ):
            self._command(number, i, way)

    # What must never be

    def _wrong_commit(self, number: int, run: Run, i: int) -> str | None:
        if run.ended_s is not None:
            return "an effect after its end"
        free = self.free[i]
        if free is not None and self.stock is not None:
            held = sum(each.done[i] - each.undone[i] for each in self.runs)
            if free < 0 or free + held != self.stock:
                return f"stock {self.stock} is {free} free and {held} held"
        return wrong_state(self.plan, run.saga, self._at(run))

    def _at(self, run: Run) -> tuple[tuple[Fence | None, int, int], ...]:
        return tuple(zip(run.fences, run.done, run.undone, strict=True))

    def _note(self, number: int, wrong: str | None) -> None:
        if wrong is not None:
            self.wrong.append(f"seed {self.seed}, {self.style}, saga {number}: {wrong}")
