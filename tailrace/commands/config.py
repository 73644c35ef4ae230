"""`tailrace config`: write, show and describe the pipeline file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="The pipeline file: start one, show what holds, print its schema.")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The pipeline file.", show_default=True)
]
DEFAULT_FILE = Path("pipeline.yaml")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_FILE,
) -> None:
    """Write a commented starter file; one that exists is left alone."""
    import secrets

    from tailrace.exits import FAILED, Problem

    starter = Path(__file__).parent.with_name("starter.yaml").read_text(encoding="utf-8")
    starter = starter.replace("$placeholder", f"unchanged-{secrets.token_hex(12)}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter)
    except FileExistsError:
        raise Problem(
            "TR-CFG-008",
            f"{path} exists already and is left as it is; name another file or move it away.",
            exit_code=FAILED,
        ) from None
    except OSError as error:
        raise Problem("TR-CFG-009", f"{path} cannot be written: {error.strerror}.") from None
    typer.echo(
        f"Wrote {path}. Next: set dsn, tables and password_reference in it,"
        f" then `tailrace config show -c {path}`.",
        err=True,
    )


@app.command()
def show(
    config: ConfigOption = DEFAULT_FILE,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value came from.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What holds after flags, environment and secret files; passwords are shown as ***."""
    from tailrace.config import load_with_origins

    pipeline, origins = load_with_origins(config)
    rows = [(key, value, origins[key]) for key, value in _leaves("", pipeline)]
    if json:
        _show_json(rows, origin)
        return
    width = max(len(key) for key, _, _ in rows)
    shown = [(key, _text(value), came_from) for key, value, came_from in rows]
    value_width = max(len(value) for _, value, _ in shown)
    for key, value, came_from in shown:
        line = f"{key:<{width}}  {value:<{value_width}}  {came_from if origin else ''}"
        typer.echo(line.rstrip())


@app.command()
def schema() -> None:
    """A JSON Schema of the file, for editors."""
    import msgspec

    from tailrace.settings import schema

    typer.echo(msgspec.json.format(msgspec.json.encode(schema()).decode(), indent=2))


def _leaves(at: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values, redacted."""
    from tailrace.sections import Section
    from tailrace.values import shown

    if isinstance(value, Section):
        config = value.__struct_config__
        parts = {
            field: getattr(value, name)
            for name, field in zip(
                value.__struct_fields__, value.__struct_encode_fields__, strict=True
            )
        }
        if config.tag_field:
            parts = {config.tag_field: config.tag, **parts}
    elif isinstance(value, dict):
        parts = value
    else:
        yield at, shown(at.rpartition(".")[2], value)
        return
    for key, part in parts.items():
        yield from _leaves(f"{at}.{key}" if at else key, part)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return "-" if value is None else str(value)


def _show_json(rows: list[tuple[str, Any, str]], origin: bool) -> None:
    import msgspec

    found = {
        key: {"value": value, "origin": came_from} if origin else value
        for key, value, came_from in rows
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(found).decode(), indent=2))
