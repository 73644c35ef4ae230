"""`tailrace supervise`, destinations: sweeps, rungs of the ladder, and what a person decides."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption
from tailrace.commands.several import DEFAULT_FILES, ConfigsOption

if TYPE_CHECKING:
    from supervision.proposals import Found, Proposal, Standing
    from tailrace.decisions import Desk
    from tailrace.swept import Swept

app = typer.Typer()
evidence_app = typer.Typer(help="What was shown outside of the supervisor.")
app.add_typer(evidence_app, name="evidence")

ProposalArgument = Annotated[str, typer.Argument(metavar="ID", help="Like mirror/7.")]
SubjectArgument = Annotated[
    str,
    typer.Argument(metavar="SUBJECT", help="Like destination:PIPELINE.SINK, or saga:TYPE/STEP."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept for ever.")]


@app.command()
def run(
    config: ConfigsOption = DEFAULT_FILES,
    every: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="From one sweep to the next.")
    ] = 30.0,
) -> None:
    """Sweep until stopped; a line of the log for each destination and sweep."""
    import signal
    from threading import Event

    import msgspec
    import structlog

    from tailrace.commands.several import watched
    from tailrace.journal import configure
    from tailrace.sweeps import sweep

    pipelines = [each.pipeline for each in watched(config)]
    configure(pipelines[0].log)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        for swept in (swept for pipeline in pipelines for swept in sweep(pipeline)):
            say = structlog.get_logger().warning if swept.problem else structlog.get_logger().info
            say("swept", **msgspec.to_builtins(swept))
        stop.wait(every)


@app.command()
def sweep(config: ConfigsOption = DEFAULT_FILES, json: JsonOption = False) -> None:
    """
    Compare each destination with its source once, and do what its rung allows.

    Exit code 75: of some it is not known what differs.
    """
    from tailrace.commands.several import watched
    from tailrace.exits import TRY_AGAIN
    from tailrace.sweeps import sweep

    found = [swept for each in watched(config) for swept in sweep(each.pipeline)]
    if json:
        echo_json(found)
    for swept in () if json else found:
        _tell(swept)
    if any(swept.problem for swept in found):
        raise typer.Exit(TRY_AGAIN)


@app.command()
def rung(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="SUBJECT", help="Like destination:PIPELINE.SINK, or saga:TYPE/STEP."
        ),
    ] = None,
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="RUNG", help="manual, shadow, approve or automatic."),
    ] = None,
    reason: ReasonOption = "",
    config: ConfigOption = DEFAULT_FILE,
    json: JsonOption = False,
) -> None:
    """How far the supervisor may act by itself, and what is lacking for more; or change it."""
    from tailrace.config import load
    from tailrace.decisions import standings
    from tailrace.destinations import sink_of

    pipeline = load(config)
    if subject and wanted:
        found = [_desk(config, reason).move(subject, wanted)]
    else:
        if subject:
            sink_of(pipeline, subject)
        found = [one for one in standings(pipeline) if subject in (None, one.subject)]
    if json:
        echo_json(found)
    for one in () if json else found:
        typer.echo(f"{one.subject}  {one.rung}  since {one.since:%Y-%m-%d %H:%M:%SZ}{_next(one)}")


@app.command("proposals")
def proposals_(
    config: ConfigOption = DEFAULT_FILE,
    also_decided: Annotated[bool, typer.Option("--all", help="Decided ones, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The most of one destination.")] = 50,
    json: JsonOption = False,
) -> None:
    """What the supervisor would do, the newest first."""
    from tailrace.config import load
    from tailrace.decisions import listed

    found = listed(load(config), also_decided=also_decided, limit=limit)
    if json:
        echo_json(list(found.values()))
    for id_, one in () if json else found.items():
        typer.echo(_line(id_, one))


@app.command()
def approve(
    proposal: ProposalArgument,
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_FILE,
    json: JsonOption = False,
) -> None:
    """
    Have a proposal done, once: who comes second is told.

    Exit code 1: it failed, or the row was not as it was proposed any more.
    """
    from tailrace.exits import FAILED

    one, outcome = _desk(config, reason).approve(proposal)
    if outcome == "decided":
        typer.echo(f"{proposal} is {one.state} already, by {one.actor}: {one.reason}", err=True)
    _show(proposal, one, json)
    if one.state != "done":
        raise typer.Exit(FAILED)


@app.command()
def reject(
    proposal: ProposalArgument,
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_FILE,
    json: JsonOption = False,
) -> None:
    """Have a proposal not done, nor made again while the row stays as it is."""
    _show(proposal, _desk(config, reason).reject(proposal), json)


@app.command()
def judge(
    proposal: ProposalArgument,
    judgement: Annotated[str, typer.Argument(metavar="right|wrong")],
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_FILE,
    json: JsonOption = False,
) -> None:
    """Say whether a proposal at shadow, or an act, was right; a wrong one costs a rung."""
    _show(proposal, _desk(config, reason).judge(proposal, judgement), json)


@evidence_app.command("add")
def add(
    subject: SubjectArgument, reason: ReasonOption, config: ConfigOption = DEFAULT_FILE
) -> None:
    """Record a fault-injection run that was green; say which, and where its result is."""
    _desk(config, reason).add_evidence(subject)
    typer.echo(f"recorded; see `tailrace supervise rung {subject}`", err=True)


def _desk(config: Path, reason: str) -> "Desk":
    from tailrace.actions import os_actor
    from tailrace.config import load
    from tailrace.decisions import Desk

    return Desk(load(config), os_actor().name, reason)


def _show(id_: str, one: "Proposal", json: bool) -> None:
    if json:
        echo_json(one)
    else:
        typer.echo(_line(id_, one))


def _line(id_: str, one: "Proposal") -> str:
    from tailrace.parked.plain import plain

    judged = f", judged {one.judgement}" if one.judgement else ""
    decided = f" by {one.actor}: {one.reason}" if one.actor else ""
    return plain(f"{id_}  {one.rung:<9} {_found(one.finding)}  {one.state}{judged}{decided}")


def _found(finding: "Found") -> str:
    from supervision.stuck import Stuck

    if isinstance(finding, Stuck):
        return f"{finding.act} {finding.saga} at {finding.step}, {finding.says}"
    key = ", ".join(f"{name}={value}" for name, value in finding.key.items())
    return f"{finding.table} {finding.kind} {key}"


def _next(one: "Standing") -> str:
    if one.above is None:
        return ""
    return f"; for {one.above}: {one.lacking}" if one.lacking else f"; may go to {one.above}"


def _tell(swept: "Swept") -> None:
    what = f"{swept.tables} tables in {swept.seconds:.1f} s: {swept.differing} rows differ"
    if swept.subject.startswith("saga"):
        what = f"{swept.differing} sagas parked"
    typer.echo(
        f"{swept.subject}  {swept.rung or '?'}  {what}, {swept.proposed} proposed,"
        f" {swept.mended} mended, {swept.overtaken} overtaken, {swept.failed} failed"
    )
    for finding in swept.listed:
        typer.echo(f"    {_found(finding)}")
    if swept.problem:
        typer.echo(f"    {swept.problem}")


def echo_json(found: Any) -> None:
    """As `--json` shows it."""
    import msgspec

    typer.echo(msgspec.json.encode(found).decode())
