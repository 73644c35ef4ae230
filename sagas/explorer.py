"""
Every state that the protocol can reach, by the functions that also run it.

Messages form a set: each may be delivered any number of times, in any order, at any time, or never.
Timers and deadlines fire at any moment, participants refuse where they may and fail, people cancel
and resume. What must never be is in `sagas/invariants.py`, and in `Explored.hopeless`.

The functions are pure, so what one said of its arguments is kept: the saga and what is outside it
of each step are values with a number, and a state is a tuple of numbers.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Generic, NamedTuple, TypeVar

from sagas import fence, protocol
from sagas.fence import Direction, Fence
from sagas.invariants import Counts, wrong_move, wrong_state
from sagas.plan import Plan
from sagas.protocol import ENDED, Effects, GiveUp, Input, Reply, Resume, Saga, Send, Style, TimedOut
from sagas.reaction import reaction

HEARD: dict[Fence | None, tuple[Fence | None, ...]] = {
    None: (None,),
    "DONE": (None, "DONE"),
    "REFUSED": (None, "REFUSED"),
    "UNDONE": (None, "DONE", "UNDONE"),
    "VOIDED": (None, "VOIDED"),
}
"""What may have been heard of a step, by its fence."""
LOST = ("all that is on the way is lost",)

T = TypeVar("T", bound=Hashable)
Label = tuple[object, ...]
State = tuple[int, ...]
"""The saga's number, then that of each step's spot."""
Way = tuple[int, Direction]
Move = tuple[Label, int, Effects]
"""What comes of an input: the saga's number after it, and what it sends."""


class Spot(NamedTuple):
    """What is outside the saga of one step: in its participant, and on the way."""

    at: Counts
    commands: frozenset[Direction] = frozenset()
    answers: frozenset[Fence] = frozenset()


@dataclass(slots=True)
class Explored:
    """
    `wrong` has the shortest way to each sentence. `hopeless`: states from which no end can be
    reached any more, whatever happens; `hopeless_way` leads to the nearest. `statuses`: of sagas
    and of steps, all that were reached.
    """

    states: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)
    hopeless: int = 0
    hopeless_way: list[str] = field(default_factory=list)
    statuses: frozenset[str] = frozenset()
    step_statuses: frozenset[str] = frozenset()


def explore(
    plan: Plan,
    style: Style,
    most_states: int = 5_000_000,
    *,
    inputs: tuple[Input, ...] | None = None,
    lossy: bool = False,
) -> Explored:
    """
    `inputs`: what may come besides answers, all by default; without any, what is left is what
    participants do by themselves. `lossy`: all that is on the way may be lost for ever, so an end
    has to be within reach of what is sent again. Raises MemoryError beyond `most_states`.
    """
    return _Explorer(plan, style, most_states, inputs, lossy=lossy).run()


class _Numbers(Generic[T]):
    """Values and their numbers."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[T, int] = {}

    def of(self, value: T) -> int:
        if (number := self._numbers.get(value)) is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number


class _Explorer:
    def __init__(
        self,
        plan: Plan,
        style: Style,
        most_states: int,
        inputs: tuple[Input, ...] | None,
        *,
        lossy: bool,
    ) -> None:
        self.plan, self.style, self.most_states = plan, style, most_states
        self.lossy = lossy
        self.found = Explored()
        self.sagas = _Numbers[Saga]()
        self.spots = _Numbers[Spot]()
        self.inputs = tuple(_inputs(plan)) if inputs is None else inputs
        self.states: list[State] = []
        self.came: list[tuple[int, Label]] = []
        self.moves: dict[int, list[Move]] = {}
        self.answers: dict[tuple[int, int, frozenset[Fence]], list[Move]] = {}
        self.sent: dict[tuple[int, Direction], int] = {}
        self.commands: dict[tuple[int, int, Direction], list[tuple[Label, int]]] = {}
        self.arrivals: dict[tuple[int, int], list[tuple[Label, int]]] = {}
        self.wrong: dict[tuple[int, tuple[Counts, ...]], str | None] = {}
        self.ways: dict[tuple[Fence | None, ...], tuple[Way, ...]] = {}
        self.reactions: dict[tuple[Fence | None, ...], list[Way]] = {}

    def run(self) -> Explored:
        saga, effects = protocol.begin(self.plan, self.style)
        nothing = (self.spots.of(Spot((None, 0, 0))),) * len(self.plan.steps)
        first = self._after(self.sagas.of(saga), nothing, effects)
        self.states, self.came, back = [first], [(-1, ())], [[-1]]
        numbers = {first: 0}
        for at, state in enumerate(self.states):
            for label, after in self._steps(at, state):
                number = numbers.get(after)
                if number is None:
                    number = numbers[after] = len(self.states)
                    self.states.append(after)
                    self.came.append((at, label))
                    back.append([at])
                else:
                    back[number].append(at)
            if len(self.states) > self.most_states:
                raise MemoryError(f"more than {self.most_states:,} states")
        self._judge(back)
        return self.found

    def _judge(self, back: list[list[int]]) -> None:
        ended = {n for n, saga in enumerate(self.sagas.values) if saga.status in ENDED}
        good = _reaching([at for at, state in enumerate(self.states) if state[0] in ended], back)
        found = self.found
        found.states, found.hopeless = len(good), good.count(0)
        if found.hopeless:
            found.hopeless_way = self._way(good.index(0))
        found.statuses = frozenset(saga.status for saga in self.sagas.values)
        found.step_statuses = frozenset(s.status for saga in self.sagas.values for s in saga.steps)

    def _steps(self, at: int, state: State) -> Iterator[tuple[Label, State]]:
        number, spots = state[0], state[1:]
        there = tuple(self.spots.values[spot].at for spot in spots)
        if self._is_wrong(at, number, there):
            return
        for label, after, effects in self._moves(at, number):
            yield label, self._after(after, spots, effects)
        for i, spot in enumerate(spots):
            for label, after, effects in self._answers(at, number, i, spot):
                yield label, self._after(after, spots, effects)
        for i, label, spot in self._acts(spots, there):
            yield label, (number, *spots[:i], spot, *spots[i + 1 :])
        if self.lossy:
            yield LOST, (number, *(self.spots.of(Spot(at)) for at in there))

    def _acts(self, spots: State, there: tuple[Counts, ...]) -> Iterator[tuple[int, Label, int]]:
        for i, spot in enumerate(spots):
            for label, after in self._arrivals(i, spot):
                yield i, label, after
        if self.style == "choreographed":
            for i, way in self._reactions(there):
                for label, after in self._command(i, spots[i], way):
                    yield i, label, after

    def _is_wrong(self, at: int, number: int, there: tuple[Counts, ...]) -> bool:
        key = number, there
        if key not in self.wrong:
            self.wrong[key] = wrong_state(self.plan, self.sagas.values[number], there)
        if wrong := self.wrong[key]:
            self.found.wrong.setdefault(wrong, self._way(at))
        return wrong is not None

    def _moves(self, at: int, number: int) -> list[Move]:
        if (known := self.moves.get(number)) is None:
            tried = (self._move(at, number, input) for input in self.inputs)
            known = self.moves[number] = [move for move in tried if move is not None]
        return known

    def _move(self, at: int, number: int, input: Input) -> Move | None:
        """None where it changes nothing, or what must not be changed."""
        saga = self.sagas.values[number]
        after, effects = protocol.transition(self.plan, saga, input)
        if wrong := wrong_move(self.plan, saga, input, after, effects):
            self.found.wrong.setdefault(wrong, [*self._way(at), f"saga {input}"])
            return None
        sends = tuple(effect for effect in effects if isinstance(effect, Send))
        return (("saga", input), self.sagas.of(after), sends) if sends or after != saga else None

    def _answers(self, at: int, number: int, i: int, spot: int) -> list[Move]:
        key = number, i, self.spots.values[spot].answers
        if (known := self.answers.get(key)) is None:
            said = (self._move(at, number, Reply(i, word)) for word in sorted(key[2]))
            known = self.answers[key] = [move for move in said if move is not None]
        return known

    def _after(self, number: int, spots: State, effects: Effects) -> State:
        """The messages are on the way now."""
        if not effects:
            return (number, *spots)
        now = list(spots)
        for effect in effects:
            if isinstance(effect, Send):
                key = now[effect.step], effect.direction
                if key not in self.sent:
                    spot = self.spots.values[key[0]]
                    more = spot._replace(commands=spot.commands | {key[1]})
                    self.sent[key] = self.spots.of(more)
                now[effect.step] = self.sent[key]
        return (number, *now)

    def _arrivals(self, i: int, number: int) -> list[tuple[Label, int]]:
        key = i, number
        if (known := self.arrivals.get(key)) is None:
            ways = sorted(self.spots.values[number].commands)
            known = [pair for way in ways for pair in self._command(i, number, way)]
            self.arrivals[key] = known
        return known

    def _command(self, i: int, number: int, way: Direction) -> list[tuple[Label, int]]:
        key = i, number, way
        if (known := self.commands.get(key)) is None:
            found = _obeyed(self.plan, i, self.spots.values[number], way)
            pairs = [(label, self.spots.of(spot)) for label, spot in found]
            known = self.commands[key] = [pair for pair in pairs if pair[1] != number]
        return known

    def _reactions(self, there: tuple[Counts, ...]) -> tuple[Way, ...]:
        """What any participant may do, whichever part of what was said it has heard by now."""
        fences = tuple(at[0] for at in there)
        if (ways := self.ways.get(fences)) is None:
            heard = product(*(HEARD[fence] for fence in fences))
            ways = tuple({way for parts in heard for way in self._reacting(parts)})
            self.ways[fences] = ways
        return ways

    def _reacting(self, parts: tuple[Fence | None, ...]) -> list[Way]:
        if (known := self.reactions.get(parts)) is None:
            heard = {i: word for i, word in enumerate(parts) if word is not None}
            ways = [(i, reaction(self.plan, i, heard)) for i in range(len(parts))]
            known = self.reactions[parts] = [(i, way) for i, way in ways if way is not None]
        return known

    def _way(self, at: int) -> list[str]:
        labels: list[str] = []
        while at:
            at, label = self.came[at]
            labels.append(" ".join(map(str, label)))
        return labels[::-1]


def _inputs(plan: Plan) -> Iterator[Input]:
    for i, step in enumerate(plan.steps):
        yield from (TimedOut(i, t) for t in range(1, max(step.tries, step.undo_tries) + 1))
        yield Reply(i, "FAILED")
    yield from (GiveUp(), GiveUp(by_hand=True), Resume())


def _obeyed(plan: Plan, i: int, spot: Spot, way: Direction) -> Iterator[tuple[Label, Spot]]:
    fenced, done, undone = spot.at
    act, after = fence.act_on(fenced, way, is_final=i == plan.pivot)
    if act == "run the action":
        if i not in plan.after_pivot:
            refused = Spot(("REFUSED", done, undone), spot.commands, spot.answers | {"REFUSED"})
            yield (i, "refuses"), refused
        done = min(done + 1, 2)
    elif act == "run the undo":
        undone = min(undone + 1, 2)
    said: Iterable[Fence] = (after,) if after is not None else ()
    yield (i, way, act), Spot((after, done, undone), spot.commands, spot.answers.union(said))


def _reaching(ends: list[int], back: list[list[int]]) -> bytearray:
    """1 for each state from which one of them can be reached."""
    good = bytearray(len(back))
    ahead = ends
    for at in ahead:
        good[at] = 1
    while ahead:
        for before in back[ahead.pop()]:
            if before >= 0 and not good[before]:
                good[before] = 1
                ahead.append(before)
    return good
