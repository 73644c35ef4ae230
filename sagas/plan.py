"""
The plan of a saga: its steps and what comes after what. A value, stored with every instance, so
that new code runs an old instance by the plan it began with.
"""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from graphlib import CycleError, TopologicalSorter

import msgspec

TIMEOUT_S = 30.0  # nothing is lost on the way: sent again sooner, it adds to what is queued up
MOST_WAIT_S = 300.0


class PlanError(ValueError):
    """A plan that cannot work; the sentence says which step, why, and what to do."""


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """
    `action` is like `hotel.reserve`: participant and its action. `after` are the steps that have to
    be through before it begins. `pivot`: with it the saga can only go on; before it every step can
    be undone. `optional`: the saga goes on without it. A command that is not answered for
    `timeout_s` (doubled each time, at most `MOST_WAIT_S`) is sent again, `tries` times in all.
    """

    name: str
    action: str
    after: tuple[str, ...] = ()
    pivot: bool = False
    optional: bool = False
    timeout_s: float = TIMEOUT_S
    tries: int = 6
    undo_tries: int = 12

    @property
    def participant(self) -> str:
        """Whose action it is."""
        return self.action.partition(".")[0]

    def wait_s(self, tries: int) -> float:
        """How long an answer to so many tries is waited for."""
        return min(self.timeout_s * 2.0 ** max(tries - 1, 0), MOST_WAIT_S)


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """
    `type` is like `book-tour`. A saga that is not past its pivot after `deadline_s` is undone.
    `parallel_undo`: all at once, instead of each step after those that came after it.
    """

    type: str
    steps: tuple[PlannedStep, ...]
    deadline_s: float
    parallel_undo: bool = False

    @cached_property
    def index(self) -> dict[str, int]:
        """Where each step stands."""
        return {step.name: i for i, step in enumerate(self.steps)}

    @cached_property
    def before(self) -> tuple[tuple[int, ...], ...]:
        """For each step those that it comes directly after."""
        return tuple(tuple(self.index[name] for name in step.after) for step in self.steps)

    @cached_property
    def behind(self) -> tuple[tuple[int, ...], ...]:
        """For each step those that come directly after it."""
        return tuple(
            tuple(i for i, before in enumerate(self.before) if each in before)
            for each in range(len(self.steps))
        )

    @cached_property
    def preceding(self) -> tuple[frozenset[int], ...]:
        """For each step all that come before it."""
        return tuple(_reached(self.before, i) for i in range(len(self.steps)))

    @cached_property
    def following(self) -> tuple[frozenset[int], ...]:
        """For each step all that come after it."""
        return tuple(_reached(self.behind, i) for i in range(len(self.steps)))

    @cached_property
    def pivot(self) -> int | None:
        """The step from which on there is no way back."""
        return next((i for i, step in enumerate(self.steps) if step.pivot), None)

    @cached_property
    def after_pivot(self) -> frozenset[int]:
        """Steps that may not refuse: nothing undoes what came before them."""
        return frozenset() if self.pivot is None else self.following[self.pivot]

    def check(self) -> None:
        """Raises PlanError."""
        for wrong in _wrong(self):
            raise PlanError(f"saga {self.type}: {wrong}")


@lru_cache(maxsize=256)
def plan_of(text: str) -> Plan:
    """As it is stored."""
    return msgspec.json.decode(text, type=Plan)


def _wrong(plan: Plan) -> Iterable[str]:
    if not plan.steps:
        yield "it has no steps"
    if len(plan.index) != len(plan.steps):
        yield "two steps have one name"
    if not plan.deadline_s > 0:
        yield "its deadline has to be above 0 s: without one a lost step would hold the others"
    for step in plan.steps:
        unknown = set(step.after) - plan.index.keys()
        yield from (f"step {step.name} comes after {one}, no step of it" for one in unknown)
        if min(step.tries, step.undo_tries) < 1 or not step.timeout_s > 0:
            yield f"step {step.name} needs at least one try and a timeout above 0 s"
    graph = TopologicalSorter({step.name: step.after for step in plan.steps})
    try:
        graph.prepare()
    except CycleError as error:
        yield f"steps wait for each other in a circle: {' -> '.join(error.args[1])}"
    yield from _wrong_pivot(plan)


def _wrong_pivot(plan: Plan) -> Iterable[str]:
    pivots = [step.name for step in plan.steps if step.pivot]
    if len(pivots) > 1:
        yield f"it has {len(pivots)} pivots ({', '.join(pivots)}), and can have only one"
    if plan.pivot is None:
        return
    if plan.steps[plan.pivot].optional:
        yield f"step {pivots[0]} is the pivot, so it cannot be optional"
    beside = set(range(len(plan.steps))) - {plan.pivot} - plan.after_pivot
    for i in sorted(beside - _reached(plan.before, plan.pivot)):
        yield (
            f"step {plan.steps[i].name} runs beside the pivot {pivots[0]}, so it could refuse when"
            " nothing can be undone any more: put it before or after the pivot"
        )


def _reached(edges: tuple[tuple[int, ...], ...], start: int) -> frozenset[int]:
    found: set[int] = set()
    ahead = list(edges[start])
    while ahead:
        if (step := ahead.pop()) not in found:
            found.add(step)
            ahead += edges[step]
    return frozenset(found)
