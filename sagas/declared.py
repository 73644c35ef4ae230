"""
Sagas as they are written down: what a service offers (Action), and in which order a saga asks for
it. The same declaration runs orchestrated and choreographed.

    class BookTour(Saga, name="book-tour", request=TourRequested, contracts=tours, deadline_s=900):
        flight = Step(reserve_flight, lambda tour: ReserveFlight(seats=tour.request.people))
        hotel = Step(reserve_room, room_of)           # nothing before it: beside the flight
        pay = Pivot(charge, price_of, after=[flight, hotel])
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from eventstore.contracts import Contracts, Event
from sagas.plan import TIMEOUT_S, Plan, PlanError, PlannedStep
from sagas.wire import is_own_word, own_words

R = TypeVar("R", bound=Event)
_TOPIC = re.compile("[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Action:
    """
    What a participant does when it is told to. `name` is like `hotel.reserve`; `takes` is the
    command, `gives` what it says when it was done, `refuses` what it may say instead. All are
    events of `contracts`. `is_final`: it has no undo, as is right for a pivot. `locks` names what
    a command needs for itself, `on_locked` says what becomes of it while another saga has that
    (docs/sagas.md, Isolation). Raises ValueError for a name that is not of this form.
    """

    name: str
    contracts: Contracts = field(repr=False)
    takes: type[Event]
    gives: type[Event]
    refuses: tuple[type[Event], ...] = ()
    is_final: bool = False
    locks: "Callable[[Any], Sequence[str]] | None" = None
    on_locked: Literal["refuse", "wait"] = "refuse"

    def __post_init__(self) -> None:
        if len(self.name.split(".")) != 2 or not all(self.name.split(".")) or "/" in self.name:
            raise ValueError(f"an action is named like hotel.reserve, not {self.name!r:.60}")
        if not _TOPIC.fullmatch(self.participant):
            raise ValueError(
                f"{self.participant!r:.60} has to be fit for the name of a topic, since commands to"
                " it have one of their own: letters, digits, - and _"
            )

    @property
    def participant(self) -> str:
        """The name of the service that does it."""
        return self.name.partition(".")[0]

    @property
    def may_refuse(self) -> bool:
        """Also because of a lock: by whatever way, some sagas have to give way."""
        return bool(self.refuses) or self.locks is not None


@dataclass(frozen=True, slots=True)
class Course(Generic[R]):
    """How far a saga has come, for what makes its commands: `tour["hotel"]` is a step's result."""

    id: UUID
    request: R
    results: Mapping[str, Event]

    def __getitem__(self, step: str) -> Any:
        """Raises KeyError where the step, an optional one, gave none."""
        return self.results[step]

    def __contains__(self, step: str) -> bool:
        return step in self.results


Make = Callable[[Course[Any]], Event]
"""The command of a step. Pure: it may run again, and in another process."""


class Step:
    """
    One step: `action`, told by the command that `make` makes, once all of `after` are through. The
    rest is as in PlannedStep.
    """

    is_pivot = False

    def __init__(
        self,
        action: Action,
        make: Make,
        *,
        after: "Sequence[Step]" = (),
        optional: bool = False,
        timeout_s: float = TIMEOUT_S,
        tries: int = 6,
        undo_tries: int = 12,
    ) -> None:
        self.action = action
        self.make = make
        self.name = ""
        self._after = after
        self._rest = {
            "optional": optional,
            "timeout_s": timeout_s,
            "tries": tries,
            "undo_tries": undo_tries,
        }

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @property
    def planned(self) -> PlannedStep:
        """As data."""
        after = tuple(step.name for step in self._after)
        rest: Mapping[str, Any] = self._rest
        return PlannedStep(
            name=self.name, action=self.action.name, after=after, pivot=self.is_pivot, **rest
        )


class Pivot(Step):
    """The step that decides: before it all can be undone, after it nothing may refuse."""

    is_pivot = True


class Saga:
    """To be subclassed; see the module. Raises PlanError where the class is written."""

    name: ClassVar[str]
    request: ClassVar[type[Event]]
    contracts: ClassVar[Contracts]
    plan: ClassVar[Plan]
    steps: ClassVar[Mapping[str, Step]]

    def __init_subclass__(
        cls,
        *,
        name: str,
        request: type[Event],
        contracts: Contracts,
        deadline_s: float,
        parallel_undo: bool = False,
    ) -> None:
        cls.name, cls.request, cls.contracts = name, request, contracts
        cls.steps = {step.name: step for step in vars(cls).values() if isinstance(step, Step)}
        cls.plan = Plan(
            type=name,
            steps=tuple(step.planned for step in cls.steps.values()),
            deadline_s=deadline_s,
            parallel_undo=parallel_undo,
        )
        cls.plan.check()
        for wrong in _wrong(cls.plan, cls.steps):
            raise PlanError(f"saga {name}: {wrong}")

    @classmethod
    def contracts_of(cls, step: str, event: str) -> Contracts:
        """Those of what is said of a step: the participant's own, or the words of all sagas."""
        there = cls.steps.get(step)
        return own_words if there is None or is_own_word(event) else there.action.contracts


def _wrong(plan: Plan, steps: Mapping[str, Step]) -> Iterable[str]:
    if not plan.type or "/" in plan.type:
        yield "its type is named like book-tour"
    for i, planned in enumerate(plan.steps):
        action = steps[planned.name].action
        if i in plan.after_pivot:
            if action.may_refuse:
                yield (
                    f"step {planned.name} comes after the pivot, and {action.name} may refuse: what"
                    " came before can't be undone there. Put it before the pivot, or declare an"
                    " action that neither refuses nor locks"
                )
        elif planned.pivot and not action.is_final:
            yield (
                f"step {planned.name} is the pivot, and {action.name} has an undo: declare an"
                " action with is_final=True"
            )
        elif action.is_final and not planned.pivot:
            yield (
                f"step {planned.name} may have to be undone, and {action.name} is final: put it"
                " after the pivot, or make it the pivot"
            )
