"""`tailrace doctor`: everything that a pipeline needs, and the fix for what is amiss."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption

if TYPE_CHECKING:
    from tailrace.doctor.check import Line

_SYMBOLS = {"ok": "✓", "warning": "!", "failed": "✗", "unknown": "?"}
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "unknown": "blue"}
_INDENT = 31


def doctor(
    config: ConfigOption = DEFAULT_FILE,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """
    Look at everything that the pipeline needs, and say what to do where it is amiss.

    Only reads. Exit code 0: nothing failed; 3: something did.
    """
    from tailrace.config import load
    from tailrace.doctor.examination import examine
    from tailrace.exits import UNHEALTHY
    from tailrace.source import spec_of

    pipeline = load(config)
    lines = examine(pipeline, spec_of(pipeline))
    if json:
        _show_json(lines, config)
    else:
        _show(lines, config)
    if any(line.state == "failed" for line in lines):
        raise typer.Exit(UNHEALTHY)


def _show(lines: "Sequence[Line]", config: Path) -> None:
    import os
    import shutil
    import sys

    on_terminal = sys.stdout.isatty()
    coloured = on_terminal and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size().columns if on_terminal else 0
    told: set[str] = set()
    for title, of_group in groupby(lines, key=lambda line: line.group):
        typer.echo(title)
        for text in _group(list(of_group), told, config, width, coloured):
            typer.echo(text)
    typer.echo(_summary(lines))


def _group(
    lines: "Sequence[Line]", told: set[str], config: Path, width: int, coloured: bool
) -> "Iterator[str]":
    """A line for each check, but one for all that the same absence keeps from being judged."""
    for (state, sentence), same in groupby(lines, key=lambda line: (line.state, line.sentence)):
        alike = list(same)
        head = _head(state, coloured)
        if state == "unknown" and (sentence in told or len(alike) > 1):
            names = ", ".join(line.check for line in alike)
            why = "" if sentence in told else f": {sentence}"
            yield from _wrapped(head, names + why, width, indent=12)
        else:
            for line in alike:
                yield from _wrapped(f"{head}{line.check:<19}", line.sentence, width)
                if line.fix:
                    yield f"{'':12}→ {_with_file(line.fix, config)}"
        told.add(sentence)


def _head(state: str, coloured: bool) -> str:
    text = f"  {_SYMBOLS[state]} {state:<8}"
    return typer.style(text, fg=_COLOURS[state]) if coloured else text


def _wrapped(head: str, text: str, width: int, indent: int = _INDENT) -> "Iterator[str]":
    """On a terminal, lines that fit; into a pipe, one."""
    import textwrap

    room = max(30, width - indent)
    first, *rest = textwrap.wrap(text, room, break_long_words=False) if width else [text]
    yield head + first
    for line in rest:
        yield " " * indent + line


def _with_file(fix: str, config: Path) -> str:
    """Our own commands, with the file that was looked at."""
    ours = fix.startswith("tailrace ") and config != DEFAULT_FILE
    return f"{fix} --config {config}" if ours else fix


def _summary(lines: "Sequence[Line]") -> str:
    counts = [(state, sum(line.state == state for line in lines)) for state in _SYMBOLS]
    return ", ".join(f"{count} {state}" for state, count in counts if count)


def _show_json(lines: "Sequence[Line]", config: Path) -> None:
    import msgspec

    found = {
        "checks": [
            msgspec.to_builtins(line) | {"fix": _with_file(line.fix, config) or None}
            for line in lines
        ],
        "failed": sum(line.state == "failed" for line in lines),
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(found).decode(), indent=2))
