"""`tailrace parked`: records that a sink refused; look at them, apply them again, or give up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption
from tailrace.commands.confirm import confirm

if TYPE_CHECKING:
    from tailrace.parked.choice import Choice
    from tailrace.parked.decide import Redriven
    from tailrace.parked.letter import Group, Letter
    from tailrace.parked.letters import Page

app = typer.Typer(
    help="Records that a sink refused: look, apply them again, or give them up.",
    no_args_is_help=True,
)

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
SinkArgument = Annotated[str, typer.Argument(metavar="SINK", help="The name of the sink.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT_FILE,
    sink: Annotated[str | None, typer.Option(metavar="NAME", help="Only this one.")] = None,
    group: Annotated[
        bool, typer.Option("--group", help="A line for each table and kind of reason.")
    ] = False,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Also what was redriven or discarded.")
    ] = False,
    after: Annotated[int, typer.Option(metavar="NUMBER", help="Only letters after this one.")] = -1,
    limit: Annotated[int, typer.Option(min=1, help="The most letters of a sink.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """What is parked and open, by sink and number; a number is an offset among the dead letters."""
    from tailrace.config import chosen, load
    from tailrace.parked import letters

    pipeline = load(config)
    with _reachable():
        names = list(chosen(pipeline, sink))
        if group:
            groups = [each for name in names for each in letters.groups(pipeline, name)]
            _show_groups(groups, as_json)
            return
        pages = [
            letters.read(pipeline, name, after=after, limit=limit, resolved=resolved)
            for name in names
        ]
    _show_pages(pages, as_json)


@app.command()
def show(
    sink: SinkArgument,
    number: Annotated[int, typer.Argument(help="As `parked list` shows it.")],
    config: ConfigOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """One letter: reason, origin, key, and the row before and after, cut to 4 KiB each."""
    import msgspec

    from tailrace.config import load
    from tailrace.parked import letters

    pipeline = load(config)
    with _reachable():
        letter = letters.one(pipeline, sink, number)
    if as_json:
        _echo_json(letter)
        return
    for name, value in msgspec.structs.asdict(letter).items():
        if value is not None:
            typer.echo(_plain(f"{name:<14}  {_told(value)}"))


@app.command()
def redrive(
    sink: SinkArgument,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[NUMBERS]...", help="These letters.")
    ] = None,
    config: ConfigOption = DEFAULT_FILE,
    kind: Annotated[
        str | None, typer.Option(metavar="TEXT", help="All whose kind has this in it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would happen; change nothing.")
    ] = False,
    reason: Annotated[str, typer.Option(help="For the log of actions: why.")] = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """
    Apply letters again, as they are, once what refused them is mended; the worker may run.

    What the sink has something newer for is stale: nothing goes back. What is refused again stays
    open. Exit code 0: none is refused; 1: some are.
    """
    from tailrace.actions import os_actor
    from tailrace.config import load
    from tailrace.exits import FAILED, USAGE, Problem
    from tailrace.parked import decide
    from tailrace.parked.choice import choose
    from tailrace.source import spec_of

    if (bool(numbers), kind is not None, every).count(True) != 1:
        raise Problem(
            "TR-PRK-005",
            "Say which letters: their numbers, or --kind TEXT, or --all; one of the three.",
            exit_code=USAGE,
        )
    pipeline = load(config)
    spec = spec_of(pipeline)
    with _reachable():
        choice = choose(pipeline, sink, numbers=numbers or (), kind=kind)
    if not dry_run and choice.letters:
        confirm(
            f"apply {_counted(choice)} again to sink {sink}, in the order of the changes",
            yes,
            "TR-PRK-007",
        )
    with _reachable(), _progress(sink) as progress:
        done = decide.redrive(
            pipeline, spec, choice, os_actor(), reason, dry_run=dry_run, progress=progress
        )
    _show_redriven(done, as_json)
    if done.refused:
        raise typer.Exit(FAILED)


@app.command()
def discard(
    sink: SinkArgument,
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBERS...", help="These letters.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the log of actions.")],
    config: ConfigOption = DEFAULT_FILE,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give letters up: they leave the list, are never applied, and stay in their topic."""
    from tailrace.actions import os_actor
    from tailrace.config import load
    from tailrace.parked import decide
    from tailrace.parked.choice import choose
    from tailrace.source import spec_of

    pipeline = load(config)
    spec = spec_of(pipeline)
    with _reachable():
        choice = choose(pipeline, sink, numbers=numbers)
    confirm(
        f"give up {_counted(choice)} of sink {sink}: they will not be applied", yes, "TR-PRK-007"
    )
    with _reachable():
        done = decide.discard(pipeline, spec, sink, numbers, os_actor(), reason)
    if as_json:
        _echo_json(done)
    else:
        typer.echo(f"discarded {len(done.numbers)} of sink {sink} (action {done.action_id})")


@contextmanager
def _reachable() -> Iterator[None]:
    from tailrace.asking import Away
    from tailrace.exits import TRY_AGAIN, Problem

    try:
        yield
    except Away as away:
        raise Problem("TR-PRK-001", away.sentence, exit_code=TRY_AGAIN) from away


@contextmanager
def _progress(sink: str) -> Iterator[Any]:
    from tailrace.progress import shown

    with shown() as listener:
        yield lambda done, total: listener(f"sink {sink}", f"tried {done:,} of {total:,}")


def _counted(choice: Choice) -> str:
    count = len(choice.letters)
    some = ", ".join(map(str, list(choice.letters)[:5])) + (", …" if count > 5 else "")
    return f"{count:,} letter{'s' if count != 1 else ''} ({some})"


def _show_groups(groups: Sequence[Group], as_json: bool) -> None:
    from tailrace.parked.letters import Groups

    if as_json:
        _echo_json(Groups(tuple(groups)))
        return
    for each in groups:
        since = _when(each.first_parked_at_s)
        where = f"{each.sink}  {each.table or '?'}"
        typer.echo(_plain(f"{each.count:>7,}  {where}  {each.kind}  since {since}"))
    if not groups:
        typer.echo("Nothing is parked.", err=True)


def _show_pages(pages: Sequence[Page], as_json: bool) -> None:
    from tailrace.parked.letters import Pages

    if as_json:
        _echo_json(Pages(tuple(pages)))
        return
    for page in pages:
        for letter in page.letters:
            typer.echo(_plain(_line(letter)))
        if page.next_after is not None:
            more = f"{page.sink}: more with --sink {page.sink} --after {page.next_after}"
            typer.echo(more, err=True)
        if not page.letters:
            typer.echo(f"{page.sink}: nothing is parked.", err=True)


def _line(letter: Letter) -> str:
    state = "" if letter.resolution is None else f"  [{letter.resolution.outcome}]"
    when = _when(letter.parked_at_s)
    where = f"{letter.table or '?'}  {letter.op or '?'} {_short(letter.key)}"
    return f"{letter.sink}  {letter.number:>6}  {when}  {where}  {letter.reason}{state}"


def _show_redriven(done: Redriven, as_json: bool) -> None:
    if as_json:
        _echo_json(done)
        return
    for fate in done.fates:
        typer.echo(_plain(f"{fate.number:>6}  {fate.outcome:<8}  {fate.reason or ''}".rstrip()))
    would = "would be: " if done.dry_run else ""
    typer.echo(
        f"{would}{done.written:,} written, {done.stale:,} stale, {done.refused:,} refused, "
        f"{done.taken:,} decided by others meanwhile",
        err=True,
    )


def _short(text: str | None) -> str:
    return "?" if text is None else text if len(text) <= 60 else f"{text[:60]}…"


def _when(at_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _told(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode() if isinstance(value, msgspec.Struct) else str(value)


def _plain(text: str) -> str:
    from tailrace.parked.plain import plain

    return plain(text)


def _echo_json(value: Any) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
