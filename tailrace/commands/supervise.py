"""`tailrace supervise`: sagas that need somebody, and destinations; acts with a reason."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.commands import supervise_destinations
from tailrace.commands.config import DEFAULT_FILE, ConfigOption
from tailrace.commands.supervise_destinations import echo_json

if TYPE_CHECKING:
    from sagas.published import Compared
    from tailrace.config import Pipeline

app = typer.Typer(help="What needs somebody: sagas, and destinations that differ; and what to do.")
app.add_typer(supervise_destinations.app)
log_app = typer.Typer(help="Every effect, compensation and act, with who and why.")
app.add_typer(log_app, name="log")

SagaArgument = Annotated[str, typer.Argument(metavar="SAGA", help="Its id.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept for ever.")]


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT_FILE,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only these, like PARKED.")
    ] = None,
    also_ended: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The most to list.")] = 50,
    json: JsonOption = False,
) -> None:
    """Sagas that are not over: those that need somebody first, then the newest."""
    from sagas import seen
    from tailrace.config import load
    from tailrace.offices import office_of, opened

    with opened(office_of(load(config))[0]) as tx:
        found = seen.listed(tx, status=status, also_ended=also_ended, limit=limit)
    if json:
        echo_json(found)
        return
    for one in found:
        waits = f"waits for {', '.join(one.waits_for)}" if one.waits_for else ""
        began = one.began_at.strftime("%Y-%m-%d %H:%M:%SZ")
        typer.echo(f"{one.id}  {began}  {one.type:<16} {one.status:<20} {waits}")
    if not found:
        typer.echo("There is none.", err=True)


@app.command()
def show(saga: SagaArgument, config: ConfigOption = DEFAULT_FILE, json: JsonOption = False) -> None:
    """One saga: each step as it is now, and its log from the first line."""
    from sagas import seen
    from tailrace.config import load
    from tailrace.exits import FAILED, Problem
    from tailrace.offices import office_of, opened, saga_id
    from tailrace.parked.plain import plain

    id_ = saga_id(saga)
    with opened(office_of(load(config))[0]) as tx:
        found = seen.timeline(tx, id_)
    if found is None:
        raise Problem("TR-SAG-004", f"There is no saga {id_}.", exit_code=FAILED)
    if json:
        echo_json(found)
        return
    one = found.saga
    typer.echo(f"{one.type} {one.id}, {one.style}, begun by {plain(one.began_by)}: {one.status}")
    if found.why_parked:
        typer.echo(plain(found.why_parked))
    for step in one.steps:
        tries = f", try {step.tries}" if step.tries else ""
        again = f", again at {step.due:%H:%M:%SZ}" if step.due else ""
        typer.echo(f"  {step.name:<16} {step.status}{tries}{again}")
    for line in found.log:
        typer.echo(
            plain(
                f"{line.at:%Y-%m-%d %H:%M:%S.%f}  {line.kind:<10} {line.step:<12} {line.actor}:"
                f" {line.reason}"
            )
        )


@app.command()
def resume(saga: SagaArgument, reason: ReasonOption, config: ConfigOption = DEFAULT_FILE) -> None:
    """Let a parked saga go on, once what it was parked for is mended."""
    _act("resume", saga, reason, config)


@app.command()
def compensate(
    saga: SagaArgument, reason: ReasonOption, config: ConfigOption = DEFAULT_FILE
) -> None:
    """Cancel a saga: what was done is undone. Past its pivot it can only go on."""
    _act("compensate", saga, reason, config)


@log_app.command()
def verify(
    config: ConfigOption = DEFAULT_FILE,
    sink: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The log in this sink's database, not the orchestrator's."
        ),
    ] = None,
    topic: Annotated[
        bool, typer.Option("--topic", help="The source's log, beside what Kafka has of it.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """
    Whether any line was changed, taken away or moved since it was written; then 1.

    Exit code 75: the last lines have not come to the topic yet.
    """
    from sagas import log
    from tailrace.config import load
    from tailrace.exits import FAILED, TRY_AGAIN
    from tailrace.log_topic import compare
    from tailrace.offices import opened
    from tailrace.outputs import LogVerified, TopicOfLog
    from tailrace.progress import shown

    pipeline = load(config)
    with opened(_database(pipeline, sink, topic)) as tx, shown() as tell:
        published = compare(pipeline, tx, tell) if topic else None
        breaks = list(log.verify(tx, lambda seq: tell("log", f"{seq:,} lines")))
        count = log.length(tx)
    breaks += published.breaks if published else []
    if json:
        there = TopicOfLog(published.begins_at, published.behind) if published else None
        echo_json(LogVerified(not breaks, count, breaks, there))
    for each in () if json else breaks:
        typer.echo(each.sentence)
    if published:
        _tell_topic(published)
    if breaks:
        raise typer.Exit(FAILED)
    typer.echo(f"All {count:,} lines are as they were written.", err=True)
    if published and published.behind:
        raise typer.Exit(TRY_AGAIN)


def _database(pipeline: "Pipeline", sink: str | None, topic: bool) -> str:
    """Which log is meant: that of the source is the one that is published."""
    from tailrace.config import chosen
    from tailrace.offices import office_of

    if topic and sink:
        raise typer.BadParameter("The topic has the source's log: leave out --sink.")
    if topic:
        return pipeline.source.dsn
    return chosen(pipeline, sink)[sink].dsn if sink else office_of(pipeline)[0]


def _tell_topic(found: "Compared") -> None:
    first = found.begins_at or 1
    if first > 1:
        typer.echo(f"Lines before {first:,} are not in the topic: it began later.", err=True)
    if found.behind:
        typer.echo(f"The last {found.behind:,} lines are not in the topic yet.", err=True)


def _act(what: str, saga: str, reason: str, config: Any) -> None:
    from tailrace import offices
    from tailrace.actions import os_actor
    from tailrace.config import load

    offices.act(load(config), what, offices.saga_id(saga), os_actor().name, reason)
    typer.echo(f"{what}: done; see `tailrace supervise show {saga}`", err=True)
