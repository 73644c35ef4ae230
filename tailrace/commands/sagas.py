"""`tailrace sagas`: what can be known of a saga from its code alone."""

from typing import Annotated

import typer

app = typer.Typer(help="Sagas as they are written: check them, draw them.")

OfficeArgument = Annotated[
    str, typer.Argument(metavar="MODULE:ATTR", help="The Orchestrator, like tour.booking:office.")
]


@app.command()
def check(
    office: OfficeArgument,
    participants: Annotated[
        list[str],
        typer.Option("--with", metavar="MODULE:ATTR", help="A Participant; one --with for each."),
    ],
    choreographed: Annotated[
        bool, typer.Option("--choreographed", help="Also what that style needs.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Steps that nobody does, undos that are missing, sagas that a choreography cannot end."""
    import msgspec

    from sagas import checked
    from sagas.orchestrator import Orchestrator
    from sagas.participant import Participant
    from sagas.protocol import Style
    from tailrace import named
    from tailrace.exits import FAILED
    from tailrace.outputs import SagasCheck

    sagas = named.load(office, Orchestrator).sagas.values()
    services = [named.load(name, Participant) for name in participants]
    style: Style = "choreographed" if choreographed else "orchestrated"
    found = list(checked.wrong(sagas, services, style))
    hears = {
        saga.name: {who: sorted(of) for who, of in checked.hears(saga.plan, style).items()}
        for saga in sagas
    }
    if json:
        typer.echo(msgspec.json.encode(SagasCheck(not found, found, hears)).decode())
    else:
        for sentence in found:
            typer.echo(sentence)
        for saga, needs in hears.items():
            for who, of in needs.items():
                topics = ", ".join(["the orchestrator's", *of])
                line = f"{saga}: {who} reads the commands to it and the events of {topics}"
                typer.echo(line, err=True)
    if found:
        raise typer.Exit(FAILED)


@app.command()
def draw(office: OfficeArgument) -> None:
    """A Mermaid flowchart of each saga, for a page of docs."""
    from sagas.checked import mermaid
    from sagas.orchestrator import Orchestrator
    from tailrace import named

    typer.echo(
        "\n\n".join(mermaid(one.plan) for one in named.load(office, Orchestrator).sagas.values())
    )


@app.command()
def asyncapi(office: OfficeArgument) -> None:
    """An AsyncAPI 3 document in YAML: each step's command, undo and answers, and their topics."""
    import yaml

    from sagas import asyncapi
    from sagas.orchestrator import Orchestrator
    from tailrace import named

    found = named.load(office, Orchestrator)
    with named.users_code("Making an example"):
        said = asyncapi.document(found.name, found.sagas)
    typer.echo(yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100), nl=False)
