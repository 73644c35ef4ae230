"""
What each command prints with --json: the one registry, from which docs/json.md and docs/schemas/
are written (`python -m tailrace.schemas docs`). A new command has a line in OUTPUTS or in ACTS.

The types are strict: every field is always there, and there are no others.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from eventstore.audit import History, Sealed, Verified
from eventstore.past import AsOf
from eventstore.past import Difference as StateDifference
from eventstore.shred import Forgotten
from eventstore.versions import Difference
from sagas.seen import SeenSaga, Timeline
from supervision.proposals import Proposal, Standing
from tailrace.actions import Actions
from tailrace.outputs import (
    Compared,
    ConnectorPlan,
    ConnectorStatus,
    ContractsCheck,
    Demo,
    Doctor,
    Lag,
    LogVerified,
    Pruned,
    SagasCheck,
    Setting,
    StackAddresses,
    StackPart,
)
from tailrace.parked.decide import Discarded, Redriven
from tailrace.parked.letter import Letter
from tailrace.parked.letters import Groups, Pages
from tailrace.read_models import ReadModel
from tailrace.schema import Change as TableChange
from tailrace.swept import Swept
from tailrace.trace.view import Trace
from tailrace.watch.view import Pipeline

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Output:
    """What a command prints: its type, one of several if its options decide; and that in words."""

    type: Any
    says: str
    or_else: tuple[Any, ...] = ()


OUTPUTS: Mapping[str, Output] = {
    "actions": Output(Actions, "What operators did, the newest first."),
    "config show": Output(
        dict[str, Setting], "By dotted key with --origin, else values alone.", (dict[str, Any],)
    ),
    "connector plan": Output(ConnectorPlan, "What source and Connect still need."),
    "connector status": Output(ConnectorStatus, "The connector as it is."),
    "demo": Output(Demo, "What the run came to."),
    "doctor": Output(Doctor, "Every check."),
    "events at": Output(AsOf, "The state of a stream as of then."),
    "events diff": Output(StateDifference, "What changed in the state of a stream."),
    "events forget": Output(Forgotten, "What an erasure deleted."),
    "events history": Output(History, "Every event of a stream, with the hashes of its chain."),
    "events outbox-prune": Output(Pruned, "How many days of the outbox were emptied."),
    "events seal": Output(Sealed, "How much was sealed."),
    "events verify": Output(Verified, "Whether the event store can be true, and what is not."),
    "events check": Output(ContractsCheck, "What a change of the contracts would break."),
    "lag": Output(Lag, "How far behind each partition of each sink is, and the source's log."),
    "parked discard": Output(Discarded, "Which letters were given up."),
    "parked list": Output(Pages, "Letters by sink; with --group kinds of them.", (Groups,)),
    "parked redrive": Output(Redriven, "What became of each letter."),
    "parked show": Output(Letter, "One letter."),
    "projections compare": Output(list[Difference], "Each table, beside what readers see."),
    "projections list": Output(list[ReadModel], "Read models and their versions."),
    "sagas check": Output(SagasCheck, "What is wrong with sagas as they are written."),
    "schema plan": Output(dict[str, list[TableChange]], "Statements by sink."),
    "stack status": Output(list[StackPart], "The servers of the stack."),
    "stack up": Output(StackAddresses, "Where they answer."),
    "supervise approve": Output(Proposal, "The proposal as it is then."),
    "supervise judge": Output(Proposal, "The proposal as it is then."),
    "supervise list": Output(list[SeenSaga], "Sagas, those that need somebody first."),
    "supervise log verify": Output(LogVerified, "Whether the log of sagas can be true."),
    "supervise proposals": Output(list[Proposal], "What the supervisor would do, newest first."),
    "supervise reject": Output(Proposal, "The proposal as it is then."),
    "supervise rung": Output(list[Standing], "How far the supervisor may act by itself."),
    "supervise show": Output(Timeline, "One saga and all that happened to it."),
    "supervise sweep": Output(list[Swept], "What a sweep of each destination and step came to."),
    "top": Output(Pipeline, "A line of JSON a look for each pipeline, each of them this."),
    "trace": Output(Trace, "The life of each change that was found."),
    "verify": Output(dict[str, list[Compared]], "The tables of each sink."),
}

ACTS: Mapping[str, str] = {
    "config init": "writes a file",
    "config schema": "prints a JSON Schema as it is",
    "connector apply": "acts; what it would do is in `tailrace connector plan --json`",
    "connector delete": "acts",
    "connector pause": "acts; then see `tailrace connector status --json`",
    "connector restart": "acts; then see `tailrace connector status --json`",
    "connector resume": "acts; then see `tailrace connector status --json`",
    "dashboard": "serves; the same data is at `tailrace top --json`",
    "events create": "acts",
    "events docs": "writes files",
    "events export": "writes files; what it would refuse is in `tailrace events check --json`",
    "projections build": "acts; then see `tailrace projections list --json`",
    "projections drop": "acts; then see `tailrace projections list --json`",
    "projections switch": "acts; then see `tailrace projections list --json`",
    "run": "runs; its log is JSON with `log.format: json`, its state is at `/status.json`",
    "sagas asyncapi": "prints an AsyncAPI 3 document in YAML",
    "sagas draw": "prints a picture in Mermaid",
    "schema apply": "acts; what it would do is in `tailrace schema plan --json`",
    "supervise compensate": "acts; then see `tailrace supervise show --json`",
    "supervise evidence add": "acts; then see `tailrace supervise rung --json`",
    "supervise run": "runs; its log is JSON with `log.format: json`",
    "supervise resume": "acts; then see `tailrace supervise show --json`",
    "stack down": "acts; then see `tailrace stack status --json`",
    "stack reset": "acts",
}


def schema(output: Output) -> dict[str, Any]:
    """JSON Schema (2020-12) of what is printed, in which nothing is optional or left open."""
    found, definitions = msgspec.json.schema_components((output.type, *output.or_else))
    whole = {"anyOf": list(found)} if output.or_else else dict(found[0])
    for definition in definitions.values():
        if "properties" in definition:
            definition["required"] = list(definition["properties"])
            definition["additionalProperties"] = False
            for each in definition["properties"].values():
                each.pop("default", None)
    inner = {"$defs": definitions} if definitions else {}
    return {"$schema": DIALECT, "description": output.says, **whole, **inner}


def documents() -> dict[str, str]:
    """The generated files below docs/, by path."""
    rows = [
        f"| `tailrace {command}` | [{name(command)}](schemas/{name(command)}) | {output.says} |"
        for command, output in OUTPUTS.items()
    ]
    acts = [f"| `tailrace {command}` | {what} |" for command, what in ACTS.items()]
    page = _PAGE.format(rows="\n".join(rows), acts="\n".join(acts))
    found = {"json.md": page}
    for command, output in OUTPUTS.items():
        text = msgspec.json.format(msgspec.json.encode(schema(output)).decode(), indent=2)
        found[f"schemas/{name(command)}"] = f"{text}\n"
    return found


def name(command: str) -> str:
    """The file of a command's schema."""
    return f"{command.replace(' ', '-')}.json"


_PAGE = """\
# What commands print with --json

Written by `python -m tailrace.schemas docs` from `tailrace/schemas.py`; a test keeps both in step,
and another one holds against it what the commands really print.

* Data goes to stdout and is one JSON document, but for `tailrace top`: a document a line. Talk and
  errors go to stderr.
* Every field is always there. What is not known is `null`, never 0.
* Names carry the unit: `_s`, `_ms`, `_us`, `_bytes`, `_records`. Times that end in `_at_s` are
  seconds since 1970. LSNs are whole numbers.
* The exit code says the same as without `--json` ([operations.md](operations.md)).

| command | schema | what it is |
|---|---|---|
{rows}

Commands that only act print no data, and have no `--json`: their exit code is the answer.

| command | |
|---|---|
{acts}
"""


def write(folder: Path) -> None:
    """The generated files anew; those of commands that are gone are deleted."""
    for file in (folder / "schemas").glob("*.json"):
        file.unlink()
    for path, text in documents().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
