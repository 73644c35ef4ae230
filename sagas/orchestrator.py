"""
The orchestrator: a subscriber of participants' answers. A poll of answers becomes one transaction
of many transitions; several orchestrators share the partitions of one consumer group.

    tours = Orchestrator("tours", BookTour)
    start(tx, tours, BookTour, TourRequested(...))  # in the transaction of your own writes
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg

from consumer.errors import Refused
from eventstore.contracts import Contracts, Event
from eventstore.envelope import Envelope
from eventstore.subscriber import Arrived, Received, Refuse, Subscriber, place
from sagas import forget, instances, log, protocol
from sagas.declared import Saga
from sagas.instances import Instance, Result
from sagas.protocol import Reply, Style
from sagas.turn import Turn, rows_of
from sagas.wire import Failed, address, new_id, own_words, saga_id

WORDS = frozenset({"DONE", "REFUSED", "UNDONE", "VOIDED", "FAILED"})
Connection = psycopg.Connection[Any]


class Orchestrator(Subscriber):
    """
    Of these sagas. Run as a sink of type subscriber whose topics are the participants'. What is
    over is forgotten after `keep_days`, or never; raises ValueError for too few of them.
    """

    tables: Mapping[str, LiteralString] = MappingProxyType({**instances.TABLES, **log.TABLES})

    def __init__(
        self, name: str, *sagas: type[Saga], keep_days: float | None = forget.KEEP_DAYS
    ) -> None:
        super().__init__(name, own_words)
        forget.check(keep_days)
        self.keep_days = keep_days
        self.sagas = {saga.name: saga for saga in sagas}

    def wants(self, said: Envelope) -> bool:
        of = address(said.aggregate)
        return of is not None and of.type in self.sagas and of.word in WORDS

    def contracts_of(self, said: Envelope) -> Contracts:
        of = address(said.aggregate)
        assert of is not None
        saga_id(said.subject)
        return self.sagas[of.type].contracts_of(of.step, said.type)

    def work_beside(self, dsn: str) -> Sequence[Callable[[], None]]:
        """The timers of its sagas."""
        from sagas.timers import Timers  # which needs this module

        return (Timers(dsn, self).close,)

    def ready(self, tx: Connection) -> None:
        """Raises Refused where a saga that is not over needs what this code no longer has."""
        for each in instances.live(tx, list(self.sagas)):
            steps = self.sagas[each.type].steps
            for planned in each.plan.steps:
                there = steps.get(planned.name)
                if there is None or there.action.name != planned.action:
                    now = f"has {there.action.name} there" if there else "has no such step"
                    raise Refused(
                        f"{each.count} saga(s) of type {each.type} that are not over have step "
                        f"{planned.name} ({planned.action}), and this code {now}: put it back, or "
                        f"wait until they are over (the oldest: {', '.join(each.ids)})"
                    )

    def handle(self, tx: Connection, events: Sequence[Arrived]) -> None:
        heard = [(saga_id(arrived.received.subject), arrived.received) for arrived in events]
        turn = Turn(self.sagas, self.name, datetime.now(UTC))
        there = instances.named(tx, {id_ for id_, _ in heard})
        for id_, received in heard:
            if (one := there.get(id_)) is None:
                continue
            try:
                hear(turn, one, received)
            except Exception as error:  # set aside; the step's timer asks for the answer again
                raise Refuse(f"saga {id_} can't take it: {place(error, hear)}") from error
        turn.write(tx)


def hear(turn: Turn, one: Instance, received: Received[Any]) -> bool:
    """Whether the answer was waited for."""
    of = address(received.aggregate)
    assert of is not None
    i = one.plan.index.get(of.step)
    if i is None:
        return False
    fence: Any = of.word
    event: Event = received.event
    data = msgspec.Raw(event.model_dump_json().encode())
    result = Result(event.contract.name, event.contract.version, data)
    said = event.why if isinstance(event, Failed) else received.type
    reason = f"{of.action} says {of.word}: {said}"
    actor = f"participant {of.participant}"
    return turn.act(one, Reply(i, fence), actor, reason, result, received.id)


def start(
    tx: Connection,
    orchestrator: Orchestrator,
    saga: type[Saga],
    request: Event,
    *,
    id_: UUID | None = None,
    style: Style = "orchestrated",
    actor: str = "",
) -> UUID:
    """
    Begins a saga in the caller's transaction, with its first commands; the same `id_` again begins
    nothing, until it is forgotten. Of two sagas the one of the smaller id counts as the older.
    Raises Invalid for a request that its contract does not allow.
    """
    id_ = id_ or new_id()
    now = datetime.now(UTC)
    state, effects = protocol.begin(saga.plan, style)
    new = Instance(
        id_,
        saga.name,
        style,
        saga.plan,
        state.status,
        0,
        rows_of(state, saga.plan),
        saga.contracts.encode(request),
        request.contract.version,
        now + timedelta(seconds=saga.plan.deadline_s),
    )
    turn = Turn(orchestrator.sagas, orchestrator.name, now)
    turn.begin(tx, new, actor or orchestrator.name, effects)
    return id_
