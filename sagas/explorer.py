"""
Every state that the protocol can reach, by the functions that also run it.

Messages form a set: each may be delivered any number of times, in any order, at any time, or never.
Timers and deadlines fire at any moment, participants refuse where they may, people cancel and
resume. What is looked at after each step, and at the end, are `_wrong` and `Explored.hopeless`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from sagas import core, fence
from sagas.core import GiveUp, Input, Reply, Resume, Saga, Send, Style, TimedOut
from sagas.fence import Fence
from sagas.plan import Plan
from sagas.reaction import reaction

FENCES: tuple[Fence | None, ...] = (None, "DONE", "REFUSED", "UNDONE", "VOIDED")
WORDS = 6  # of a step: do, undo, and the four answers

HEARD: tuple[tuple[Fence | None, ...], ...] = (
    (None,),
    (None, "DONE"),
    (None, "REFUSED"),
    (None, "DONE", "UNDONE"),
    (None, "VOIDED"),
)
"""What may have been heard of a step, by its fence."""

Label = tuple[object, ...]
Counts = tuple[int, ...]
State = tuple[int, Counts, Counts, Counts, int]
"""The saga (interned), and for each step its fence, effects and undos; messages as bits."""


@dataclass(slots=True)
class Explored:
    """
    `wrong` has the shortest way to each sentence. `hopeless`: states from which no end can be
    reached any more, whatever happens.
    """

    states: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)
    hopeless: int = 0


def explore(plan: Plan, style: Style, most_states: int = 5_000_000) -> Explored:
    """Raises MemoryError beyond `most_states`."""
    return _Explorer(plan, style, most_states).run()


class _Explorer:
    def __init__(self, plan: Plan, style: Style, most_states: int) -> None:
        self.plan = plan
        self.style = style
        self.most_states = most_states
        self.n = len(plan.steps)
        self.sagas: list[Saga] = []
        self.ids: dict[Saga, int] = {}
        self.moves: dict[tuple[int, Input], tuple[int, int]] = {}
        self.reactions: dict[Counts, set[tuple[int, fence.Direction]]] = {}
        self.inputs: tuple[Input, ...] = (
            *(TimedOut(i, t) for i in range(self.n) for t in range(1, _most_tries(plan) + 1)),
            GiveUp(),
            GiveUp(by_hand=True),
            Resume(),
        )

    def run(self) -> Explored:
        saga, effects = core.begin(self.plan, self.style)
        zeros = (0,) * self.n
        first: State = (self._intern(saga), zeros, zeros, zeros, self._messages(effects))
        came: dict[State, tuple[State, Label] | None] = {first: None}
        back: dict[State, list[State]] = {}
        ahead = deque([first])
        found = Explored()
        while ahead:
            state = ahead.popleft()
            if wrong := _wrong(self.plan, self.sagas[state[0]], state):
                found.wrong.setdefault(wrong, _way(came, state))
                continue
            for label, after in self._steps(state):
                back.setdefault(after, []).append(state)
                if after not in came:
                    came[after] = (state, label)
                    ahead.append(after)
            if len(came) > self.most_states:
                raise MemoryError(f"more than {self.most_states:,} states")
        found.states = len(came)
        ends = [state for state in came if self.sagas[state[0]].status in core.ENDED]
        found.hopeless = len(came) - len(_reaching(ends, back))
        return found

    def _steps(self, state: State) -> Iterator[tuple[Label, State]]:
        messages = state[4]
        for input in self.inputs:
            yield from self._input(state, input)
        for i in range(self.n):
            bits = messages >> (i * WORDS)
            if bits & 1:
                yield from self._command(state, i, "do")
            if bits & 2:
                yield from self._command(state, i, "undo")
            for k in range(1, 5):
                word = FENCES[k]
                if bits >> (k + 1) & 1 and word is not None:
                    yield from self._input(state, Reply(i, word))
        if self.style == "choreographed":
            yield from self._reactions(state)

    def _input(self, state: State, input: Input) -> Iterator[tuple[Label, State]]:
        saga, fences, done, undone, messages = state
        if (move := self.moves.get((saga, input))) is None:
            after, effects = core.transition(self.plan, self.sagas[saga], input)
            move = self.moves[saga, input] = (self._intern(after), self._messages(effects))
        if move[0] != saga or move[1] & ~messages:
            yield ("saga", input), (move[0], fences, done, undone, messages | move[1])

    def _command(self, state: State, i: int, way: fence.Direction) -> Iterator[tuple[Label, State]]:
        saga, fences, done, undone, messages = state
        act, after = fence.act_on(FENCES[fences[i]], way, is_final=i == self.plan.pivot)
        if act == "run the action":
            done = _raised(done, i)
            if i not in self.plan.after_pivot:
                yield (i, "refuses"), self._answered(state, i, "REFUSED")
        elif act == "run the undo":
            undone = _raised(undone, i)
        yield (i, way, act), self._answered((saga, fences, done, undone, messages), i, after)

    def _answered(self, state: State, i: int, after: Fence | None) -> State:
        saga, fences, done, undone, messages = state
        k = FENCES.index(after)
        said = messages | 1 << (i * WORDS + 1 + k) if k else messages
        return saga, (*fences[:i], k, *fences[i + 1 :]), done, undone, said

    def _reactions(self, state: State) -> Iterator[tuple[Label, State]]:
        fences = state[1]
        if (ways := self.reactions.get(fences)) is None:
            ways = self.reactions[fences] = _reactions(self.plan, fences)
        for i, way in ways:
            yield from self._command(state, i, way)

    def _intern(self, saga: Saga) -> int:
        if (known := self.ids.get(saga)) is None:
            known = self.ids[saga] = len(self.sagas)
            self.sagas.append(saga)
        return known

    def _messages(self, effects: core.Effects) -> int:
        bits = 0
        for effect in effects:
            if isinstance(effect, Send):
                bits |= 1 << (effect.step * WORDS + (effect.direction == "undo"))
        return bits


def _wrong(plan: Plan, saga: Saga, state: State) -> str | None:
    """The sentence of what must never be, in any state, also long after the end."""
    _, _, done, undone, _ = state
    stands = [d - u for d, u in zip(done, undone, strict=True)]
    if max(done) > 1:
        return "an action took effect twice"
    if min(stands) < 0:
        return "something was undone that was not done, or twice"
    if saga.status == "COMPENSATED" and any(stands):
        return "COMPENSATED, and an effect stands"
    if saga.status == "COMPLETED" and stands != [step.status == "DONE" for step in saga.steps]:
        return "COMPLETED, and a step's effect is not what it says"
    return _wrong_order(plan, saga, done, undone, stands)


def _wrong_order(
    plan: Plan, saga: Saga, done: Counts, undone: Counts, stands: list[int]
) -> str | None:
    needed = [i for i, step in enumerate(plan.steps) if undone[i] and not step.optional]
    if plan.pivot is not None and done[plan.pivot]:
        if needed:
            return "undone past the pivot"
        if saga.status in ("COMPENSATING", "COMPENSATED", "COMPENSATION_PARKED"):
            return "compensates past the pivot"
    if not plan.parallel_undo and any(stands[j] for i in needed for j in plan.behind[i]):
        return "undone before what came after it"
    return None


def _raised(counts: Counts, i: int) -> Counts:
    return (*counts[:i], min(counts[i] + 1, 2), *counts[i + 1 :])


def _most_tries(plan: Plan) -> int:
    return max(max(step.tries, step.undo_tries) for step in plan.steps)


def _way(came: dict[State, tuple[State, Label] | None], state: State) -> list[str]:
    labels: list[str] = []
    while (before := came[state]) is not None:
        state, label = before
        labels.append(" ".join(map(str, label)))
    return labels[::-1]


def _reaching(ends: list[State], back: dict[State, list[State]]) -> set[State]:
    good = set(ends)
    ahead: list[State] = list(ends)
    while ahead:
        for before in back.get(ahead.pop(), ()):
            if before not in good:
                good.add(before)
                ahead.append(before)
    return good


def _reactions(plan: Plan, fences: Counts) -> set[tuple[int, fence.Direction]]:
    """What any participant may do, whichever part of what was said it has heard by now."""
    ways = set()
    for parts in product(*(HEARD[k] for k in fences)):
        heard = {i: word for i, word in enumerate(parts) if word is not None}
        for i in range(len(plan.steps)):
            if (way := reaction(plan, i, heard)) is not None:
                ways.add((i, way))
    return ways
