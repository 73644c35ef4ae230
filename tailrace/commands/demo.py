"""`tailrace demo`: see it work on this machine, through a kill and a restart, with the proof."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from tailrace.demo import Demo
    from tailrace.tour_demo import TourDemo


def demo(
    what: Annotated[
        Literal["shop", "tour"],
        typer.Argument(help="A shop that is mirrored, or tours booked at five services."),
    ] = "shop",
    seconds: Annotated[
        float, typer.Option("--for", min=5, max=3600, help="Seconds under load.")
    ] = 60.0,
    folder: Annotated[
        Path | None, typer.Option(help="Where servers and logs are; .tailrace/demo without it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="What it came to, as JSON.")] = False,
) -> None:
    """
    Real servers under load: a shop that is mirrored, or tours that are booked (sagas).

    shop: two workers; one is killed, the connector is restarted, and at the end every row of source
    and target is compared. tour: both styles, through kills and cancels, and the proof that each
    tour is whole or gone. Ends with 0 only if that holds.
    """
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it too must leave no server
    where = folder or Path(".tailrace/demo" if what == "shop" else ".tailrace/tour")
    where.mkdir(parents=True, exist_ok=True)
    (_shop if what == "shop" else _tour)(where, seconds, json)


def _shop(folder: Path, seconds: float, json: bool) -> None:
    from tailrace.demo import Demo, figures
    from tailrace.demo_view import opened
    from tailrace.exits import FAILED, INTERRUPTED
    from tailrace.progress import shown

    with shown() as say:
        run = Demo(folder, seconds, say)
        try:
            _prepare(run)
        except BaseException:  # whatever ends it, servers must not be left
            run.close()
            raise
    _open(run.dashboard)
    try:
        with opened() as view:
            for sample in run.run():
                view(sample, run.story)
    except KeyboardInterrupt:
        typer.echo("Interrupted: cleaning up.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        with shown() as say:
            run.close(say)
    _show(figures(run.story), json)
    for result in run.story.results:
        if not result.equal:
            typer.echo(f"{result.table}: {result.differing} rows differ {result.problem}", err=True)
    if not run.story.is_proved():
        raise typer.Exit(FAILED)


def _tour(folder: Path, seconds: float, json: bool) -> None:
    import msgspec

    from tailrace.exits import FAILED, INTERRUPTED
    from tailrace.progress import shown
    from tailrace.tour_demo import TourDemo

    def tell(elapsed_s: float, line: str) -> None:
        typer.echo(f"{elapsed_s:6.1f} s  {line}", err=True)

    with shown() as say:
        run = TourDemo(folder, seconds, say)
        try:
            _prepare(run)
            outcome = run.run(tell)
        except KeyboardInterrupt:
            typer.echo("Interrupted: cleaning up.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        finally:
            run.close()
    if json:
        typer.echo(msgspec.json.encode(outcome).decode())
    else:
        _show(
            {
                **outcome.by_status,
                **{f"{one.style} p50 ms": f"{one.p50_ms:.0f}" for one in outcome.latency},
                **{f"{one.style} p99 ms": f"{one.p99_ms:.0f}" for one in outcome.latency},
                "cancelled by hand": outcome.cancelled_by_hand,
                "lines of the log": outcome.log_lines,
                "invariants broken": len(outcome.wrong),
            },
            as_json=False,
        )
    for wrong in outcome.wrong:
        typer.echo(wrong, err=True)
    if outcome.wrong:
        raise typer.Exit(FAILED)


def _open(url: str) -> None:
    """In a browser where somebody sits before one."""
    import os
    import sys
    import webbrowser

    typer.echo(f"The dashboard is at {url}", err=True)
    has_screen = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if sys.stderr.isatty() and has_screen:
        webbrowser.open(url)


def _show(found: dict[str, Any], as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    for name, figure in () if as_json else found.items():
        typer.echo(f"{name:<20} {figure}")


def _prepare(run: "Demo | TourDemo") -> None:
    from devstack.part import PartFailed
    from tailrace.exits import INTERRUPTED, Problem

    try:
        run.prepare()
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except PartFailed as error:
        raise Problem("TR-DEM-003", str(error)) from error
