"""`tailrace events export`, `check` and `docs`: the contracts in the code and their catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from eventstore.catalogue import Catalogue
    from eventstore.check import Compared
    from eventstore.contracts import Contracts

app = typer.Typer()

NameArgument = Annotated[
    str,
    typer.Argument(metavar="MODULE:NAME", help="The Contracts, like shop.events:contracts."),
]


@app.command()
def export(
    name: NameArgument,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The catalogue.")],
) -> None:
    """
    Write the catalogue: a JSON Schema for each event and version, and who reads what.

    A version that is there is kept; the newest gains what a check allows. Commit the folder.
    """
    from eventstore import catalogue
    from tailrace.exits import Problem

    contracts = _contracts(name)
    committed, compared = _compared(contracts, to)
    against = [each for each in compared.found if each.kind != "not exported"]
    if against:
        for each in against:
            typer.echo(each.sentence, err=True)
        raise Problem("TR-EVT-006", "Nothing was written, for what is said above.")
    try:
        written = catalogue.export(catalogue.described(contracts), to)
    except OSError as error:
        raise _unusable(to, error) from None
    for path in written:
        typer.echo(to / path)
    for note in _to_deploy(contracts, committed):
        typer.echo(note, err=True)
    if not written:
        typer.echo(f"{to} is up to date.", err=True)


@app.command()
def check(
    name: NameArgument,
    against: Annotated[
        Path, typer.Option("--against", metavar="FOLDER", help="The committed catalogue.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """
    Compare the code with the committed catalogue; for CI.

    Exit code 0: every event that was published can be read, by the old code and by the new; 1: a
    sentence for each problem, with the consumers that it would break.
    """
    from tailrace.exits import FAILED

    contracts = _contracts(name)
    _there(against, name)
    committed, compared = _compared(contracts, against)
    if as_json:
        _show_json(contracts, compared)
    else:
        for each in compared.found:
            typer.echo(each.sentence)
    for note in compared.notes:
        typer.echo(note, err=True)
    if compared.found:
        raise typer.Exit(FAILED)
    versions = sum(len(versions) for versions in committed.versions.values())
    typer.echo(f"Versions of events that can be read: {versions}, which is all.", err=True)


@app.command()
def docs(
    name: NameArgument,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where to write them.")],
    catalogue: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The catalogue, for the older versions."),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="The topic, if not <service>.events by the source.")
    ] = None,
) -> None:
    """Write asyncapi.yaml (AsyncAPI 3) and events.html: every event for those who read them."""
    import yaml

    from eventstore import asyncapi, page
    from eventstore.catalogue import Catalogue
    from eventstore.catalogue import load as load_catalogue
    from eventstore.overview import overview
    from tailrace.named import users_code

    contracts = _contracts(name)
    if catalogue:
        _there(catalogue, name)
    with users_code("Making an example"), _catalogue(catalogue or to):
        committed = load_catalogue(catalogue) if catalogue else Catalogue()
        found = overview(contracts, committed, topic)
    api = yaml.safe_dump(asyncapi.document(found), sort_keys=False, allow_unicode=True, width=100)
    with _catalogue(to):
        to.mkdir(parents=True, exist_ok=True)
        for file, text in (("asyncapi.yaml", api), ("events.html", page.render(found))):
            (to / file).write_text(text, encoding="utf-8")
            typer.echo(to / file)


def _there(catalogue: Path, name: str) -> None:
    from tailrace.exits import Problem

    if not catalogue.is_dir():
        raise Problem(
            "TR-EVT-009",
            f"There is no catalogue {catalogue}; write it with"
            f" `tailrace events export {name} --to {catalogue}` and commit it.",
        )


@contextmanager
def _catalogue(folder: Path) -> Iterator[None]:
    from eventstore.catalogue import Damaged
    from tailrace.exits import Problem

    try:
        yield
    except Damaged as error:
        raise Problem("TR-EVT-007", str(error)) from None
    except OSError as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: OSError) -> Exception:
    from tailrace.exits import Problem

    where = error.filename or folder
    return Problem("TR-EVT-008", f"{where} cannot be used: {error.strerror}; name another folder.")


def _contracts(name: str) -> Contracts:
    from eventstore.contracts import Contracts
    from tailrace.named import load

    return load(name, Contracts)


def _compared(contracts: Contracts, folder: Path) -> tuple[Catalogue, Compared]:
    from eventstore import catalogue
    from eventstore.check import compare
    from tailrace.named import users_code

    with users_code("Reading an old event by this code"), _catalogue(folder):
        committed = catalogue.load(folder)
        return committed, compare(contracts, committed)


def _to_deploy(contracts: Contracts, committed: Catalogue) -> Iterator[str]:
    for contract in contracts:
        newest = max(committed.versions.get(contract.name, {}), default=contract.version)
        readers = sorted(
            name for name, events in contracts.readers.items() if contract.name in events
        )
        if contract.version > newest and readers:
            yield (
                f"{contract.name} {contract.version} is new: update {', '.join(readers)} before"
                " what publishes it."
            )


def _show_json(contracts: Contracts, compared: Compared) -> None:
    import msgspec

    from tailrace.outputs import ContractsCheck

    found = ContractsCheck(
        source=contracts.source,
        events=[contract.name for contract in contracts],
        problems=list(compared.found),
        notes=list(compared.notes),
        ok=not compared.found,
    )
    typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
