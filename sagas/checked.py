"""
What is known of a saga before it runs: who has to hear whom, what nobody does, and a picture.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sagas.declared import Saga
from sagas.participant import Participant
from sagas.plan import Plan
from sagas.protocol import Style


def hears(plan: Plan, style: Style) -> Mapping[str, frozenset[str]]:
    """
    Whose events each participant has to read, beside the orchestrator's. Choreographed, it is those
    whose steps come before or after its own; the pivot's hears every refusal before it.
    """
    if style == "orchestrated":
        return {step.participant: frozenset() for step in plan.steps}
    found: dict[str, set[str]] = defaultdict(set)
    for i in range(len(plan.steps)):
        near = set(plan.preceding[i])
        if i not in plan.after_pivot:
            near |= plan.following[i] - plan.after_pivot
        if i == plan.pivot:
            near |= set(range(len(plan.steps))) - plan.after_pivot - {i}
        found[plan.steps[i].participant] |= {plan.steps[n].participant for n in near}
    return {who: frozenset(of) for who, of in found.items()}


def wrong(
    sagas: Iterable[type[Saga]], participants: Sequence[Participant], style: Style
) -> Iterator[str]:
    """Sentences: what would wait for ever, or could not be undone."""
    there = {participant.name: participant for participant in participants}
    for saga in sagas:
        for name, step in saga.steps.items():
            who = there.get(step.action.participant)
            if who is None:
                yield (
                    f"{saga.name}: nobody does step {name}: no participant"
                    f" {step.action.participant} was named"
                )
                continue
            yield from _wrong_step(saga, name, who, style)
        if style == "choreographed" and saga.plan.pivot is None:
            yield (
                f"{saga.name}: it has no pivot, so in a choreography nobody decides between a"
                " refusal and the end: make the last step that may refuse the pivot"
            )


def _wrong_step(saga: type[Saga], name: str, who: Participant, style: Style) -> Iterator[str]:
    action = saga.steps[name].action
    if action.name not in who.written.do:
        yield f"{saga.name}: {who.name} has no code for {action.name}, which step {name} needs"
    if not action.is_final and action.name not in who.written.undo:
        yield f"{saga.name}: {who.name} has no undo of {action.name}: step {name} would stand"
    if style == "choreographed" and not who.has_joined(saga):
        yield f"{saga.name}: {who.name} has not joined it, so step {name} waits for a timer"


def mermaid(plan: Plan) -> str:
    """A flowchart: what comes after what; the pivot is a hexagon, an optional step is rounded."""
    lines = ["flowchart LR", f"  begin(({plan.type}))"]
    for i, step in enumerate(plan.steps):
        can_undo = i != plan.pivot and i not in plan.after_pivot
        text = f"{step.name}<br/>{step.action}{' ⟲' if can_undo else ''}"
        opens, closes = ("{{", "}}") if step.pivot else ("(", ")") if step.optional else ("[", "]")
        lines.append(f'  {step.name}{opens}"{text}"{closes}')
        lines += [f"  {before} --> {step.name}" for before in step.after or ("begin",)]
    return "\n".join(lines)
