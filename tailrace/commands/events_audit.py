"""`tailrace events`: what the streams of the source database say, and whether they can be true."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption
from tailrace.commands.events_store import JsonOption, echo, echo_json, moment, store, there

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore.aggregate import Aggregate
    from eventstore.store import At
    from tailrace.progress import Listener

StreamArgument = Annotated[str, typer.Argument(metavar="STREAM", help="Like account-42.")]
AggregateOption = Annotated[
    str | None,
    typer.Option(metavar="MODULE:ATTR", help="What makes their state; else they are put together."),
]


def history(
    stream: StreamArgument, config: ConfigOption = DEFAULT_FILE, json: JsonOption = False
) -> None:
    """
    Who did what to a stream, when, and why, from its first event; with the hash of the chain.

    A hash with a * is kept by a seal. Values are shown: maybe private. Times are UTC.
    """
    from eventstore import audit

    with store(config) as tx:
        there(tx, stream)
        found = audit.history(tx, stream)
        if json:
            echo_json(audit.History(stream, list(found)))
            return
        for entry in found:
            for line in _entry(entry):
                echo(line)


def at(
    stream: StreamArgument,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Like 2026-01-31T12:00; UTC without a zone.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=0, help="After so many events; without both: now.")
    ] = None,
    aggregate: AggregateOption = None,
    config: ConfigOption = DEFAULT_FILE,
    json: JsonOption = False,
) -> None:
    """The state of a stream as of a time or a version."""
    from eventstore.past import as_of
    from tailrace.exits import USAGE, Problem

    if time is not None and version is not None:
        raise Problem("TR-EVT-022", "Give --time or --version, not both.", exit_code=USAGE)
    then = version if time is None else moment(time, "--time")
    folding = _aggregate(aggregate)
    with store(config) as tx:
        there(tx, stream)
        found = as_of(tx, stream, then, folding)
    if json:
        echo_json(found)
        return
    echo(f"{stream} at version {found.version}, {_when(found.at)}")
    for name, value in found.state.items():
        echo(f"  {name}: {_value(value)}")


def diff(
    stream: StreamArgument,
    from_: Annotated[
        str, typer.Option("--from", metavar="THEN", help="A version, or a time as of `at`.")
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar="THEN", help="The same; without it: now.")
    ] = None,
    aggregate: AggregateOption = None,
    config: ConfigOption = DEFAULT_FILE,
    json: JsonOption = False,
) -> None:
    """What changed in the state of a stream between two times or versions."""
    from eventstore.past import as_of, difference

    begin, end = _moment(from_, "--from"), None if to is None else _moment(to, "--to")
    folding = _aggregate(aggregate)
    with store(config) as tx:
        there(tx, stream)
        found = difference(*(as_of(tx, stream, then, folding) for then in (begin, end)))
    if json:
        echo_json(found)
        return
    echo(
        f"{stream} from version {found.from_version} to {found.to_version}:"
        f" {len(found.changes)} change(s)"
    )
    for change in found.changes:
        sides = {
            "added": f"+ {_value(change.after)}",
            "removed": f"- {_value(change.before)}",
            "changed": f"{_value(change.before)} -> {_value(change.after)}",
        }
        echo(f"  {change.path}: {sides[change.kind]}")


def seal(config: ConfigOption = DEFAULT_FILE, json: JsonOption = False) -> None:
    """
    Keep the hash of each stream that has grown, so that no event before it can change unnoticed.

    Run it as often as you like; it only reads what is new.
    """
    from eventstore import audit
    from tailrace.progress import shown

    with store(config, writes=True) as tx, shown() as listener:
        found = audit.seal(tx, _telling(listener, "sealed"))
    if json:
        echo_json(found)
    else:
        echo(f"{found.events:,} events of {found.streams:,} streams sealed")


def verify(
    aggregate: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:ATTR", help="Whose snapshots to check, too; repeatable."),
    ] = None,
    config: ConfigOption = DEFAULT_FILE,
    json: JsonOption = False,
) -> None:
    """
    Are positions without gaps, is all that was sealed as it was, are snapshots what events say?

    Exit code 0: yes; 1: something is not.
    """
    from eventstore import audit
    from tailrace.exits import FAILED
    from tailrace.progress import shown

    folding = [each for name in aggregate or () if (each := _aggregate(name))]
    with store(config) as tx, shown() as listener:
        found = audit.verify(tx, folding, _telling(listener, "checked"))
    if json:
        echo_json(found)
    else:
        for line in _verdict(found):
            echo(line)
    if not found.ok:
        raise typer.Exit(FAILED)


def forget(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Like customer-7.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the log of actions.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_FILE,
    json: JsonOption = False,
) -> None:
    """
    Erase somebody's personal fields, for ever and everywhere, by deleting the key that they need.

    The events stay; such a field reads [erased] from now on. Snapshots that hold it are deleted.
    """
    from eventstore import shred
    from tailrace.actions import log_of, os_actor
    from tailrace.commands.confirm import confirm
    from tailrace.config import load
    from tailrace.exits import USAGE, Problem
    from tailrace.source import spec_of

    if not reason.strip():
        raise Problem("TR-EVT-026", "Say why with --reason; it is logged.", exit_code=USAGE)
    confirm(f"erase all personal fields of {subject}, for ever", yes, "TR-EVT-027")
    pipeline = load(config)
    log = log_of(pipeline, spec_of(pipeline))
    with (
        store(config, writes=True) as tx,
        log.logged(os_actor(), "forget", subject, reason) as act,
    ):
        found = shred.forget(tx, subject)
        tx.commit()
        act.outcome = f"{found.keys} key(s) and {found.snapshots} snapshot(s) deleted"
    if json:
        echo_json(found)
    else:
        echo(f"{subject}: {act.outcome}, {len(found.streams)} stream(s) held it")


COMMANDS: Mapping[str, Callable[..., None]] = {
    "history": history,
    "at": at,
    "diff": diff,
    "seal": seal,
    "verify": verify,
    "forget": forget,
}


def _aggregate(name: str | None) -> "Aggregate[Any] | None":
    from dataclasses import replace

    from eventstore.aggregate import Aggregate
    from tailrace import named

    if not name:
        return None
    found = named.load(name, Aggregate)

    def evolve(state: Any, event: Any) -> Any:
        with named.users_code(f"Folding {event.contract.name}"):
            after = found.evolve(state, event)
            if not isinstance(after, type(found.initial)):
                raise TypeError(f"evolve gives a {type(after).__name__}")
            return after

    return replace(found, evolve=evolve)


def _moment(text: str, option: str) -> "At":
    return int(text) if text.isascii() and text.isdigit() else moment(text, option)


def _telling(listener: "Listener", done: str) -> Callable[[int], None]:
    return lambda events: listener("events", f"{done} {events:,}")


def _entry(entry: Any) -> Iterator[str]:
    mark = "*" if entry.sealed else " "
    yield (
        f"{entry.pos:>5}  {_when(entry.at)}  {entry.hash[:12]}{mark} {entry.type} v{entry.version}"
        f"  by {entry.actor or '?'}"
    )
    yield f"       {_value(entry.data)}"
    if entry.correlation or entry.causation:
        yield (f"       correlation {entry.correlation or '?'}  causation {entry.causation or '?'}")


def _verdict(found: Any) -> Iterator[str]:
    for finding in found.findings:
        yield f"{finding.stream}: {finding.sentence}"
    if found.found > len(found.findings):
        yield f"and {found.found - len(found.findings):,} more"
    yield (
        f"{'ok' if found.ok else 'NOT OK'}  {found.events:,} events of {found.streams:,} streams,"
        f" {found.events_sealed:,} of them sealed; {found.snapshots_checked:,} snapshots checked,"
        f" {found.snapshots_unchecked:,} not"
    )


def _when(at: "datetime | None") -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%fZ") if at else "before its first event"


def _value(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()
