"""
The AsyncAPI 3 document of sagas: for each step the command and its answers, the undo and its own,
and the topics that they are in; for teams that write a participant, or watch one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from connectors.spec import commands_topic
from eventstore import asyncapi
from eventstore.catalogue import Catalogue
from eventstore.contracts import Contracts, Event
from eventstore.overview import Overview, overview, prefix_of, topic_of
from sagas.declared import Saga, Step
from sagas.wire import Begun, Ended, Failed, Undo, Undone, Voided, own_words

Spoken = tuple[Contracts, type[Event]]
Channels = dict[str, list[Spoken]]
"""By the topic: what is in it."""


def document(name: str, sagas: Mapping[str, type[Saga]]) -> dict[str, Any]:
    """Of the orchestrator `name`. Raises what the example of an event raises."""
    channels: Channels = {topic_of(name): [(own_words, Begun), (own_words, Ended)]}
    sources = {topic_of(name): name}
    operations: dict[str, Any] = {}
    for saga in sagas.values():
        for step in saga.steps.values():
            participant = step.action.participant
            to = commands_topic(prefix_of(name), participant)
            back = topic_of(participant)
            sources |= {to: name, back: participant}
            for word, tells, answers in _talk(step):
                _add(channels, to, tells)
                _add(channels, back, *answers)
                key = f"{saga.name}.{step.name}.{word}"
                operations[key] = _operation(to, back, saga, step, word, tells, answers)
    return {
        **asyncapi.head(f"Sagas of {name}: {', '.join(sagas)}", 1),
        "channels": {
            topic: asyncapi.channel(
                topic,
                "Keyed by saga: the messages of one saga stay in order.",
                [_name(each) for each in said],
            )
            for topic, said in channels.items()
        },
        "operations": operations,
        "components": asyncapi.components(
            _overview(sources[topic], topic, each)
            for topic, said in channels.items()
            for each in said
        ),
    }


def _talk(step: Step) -> Iterator[tuple[str, Spoken, list[Spoken]]]:
    """What is said to a participant, and what it may answer; `saga.failed` is asked again."""
    action = step.action
    refusals: list[Spoken] = [(action.contracts, each) for each in action.refuses]
    given: Spoken = (action.contracts, action.gives)
    failed: Spoken = (own_words, Failed)
    yield "do", (action.contracts, action.takes), [given, *refusals, failed]
    # To ask a pivot for its undo is to ask whether it has happened.
    undone: Spoken = given if action.is_final else (own_words, Undone)
    if step.is_pivot or not action.is_final:
        yield "undo", (own_words, Undo), [undone, (own_words, Voided), *refusals, failed]


def _operation(
    to: str,
    back: str,
    saga: type[Saga],
    step: Step,
    word: str,
    tells: Spoken,
    answers: list[Spoken],
) -> dict[str, Any]:
    after = ", ".join(step.planned.after) or "the beginning"
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{to}"},
        "title": f"{saga.name}, step {step.name}: {word} {step.action.name}",
        "summary": f"After {after}." if word == "do" else "Undo it, or see that it never happens.",
        "messages": [_reference(to, tells)],
        "reply": {
            "channel": {"$ref": f"#/channels/{back}"},
            "messages": [_reference(back, each) for each in answers],
        },
        "x-participant": step.action.participant,
        "x-pivot": step.is_pivot,
        "x-optional": step.planned.optional,
    }


def _reference(topic: str, spoken: Spoken) -> dict[str, str]:
    return {"$ref": f"#/channels/{topic}/messages/{_name(spoken)}"}


def _add(channels: Channels, topic: str, *spoken: Spoken) -> None:
    said = channels.setdefault(topic, [])
    said += [each for each in spoken if each not in said]


def _overview(who: str, topic: str, spoken: Spoken) -> Overview:
    """Of one event, as who writes it says it."""
    contracts, event = spoken
    whole = overview(contracts, Catalogue())
    (entry,) = [each for each in whole.events if each.name == event.contract.name]
    return replace(whole, source=who, topic=topic, events=(entry,))


def _name(spoken: Spoken) -> str:
    _, event = spoken
    return f"{event.contract.name}.{event.contract.version}"
