"""`tailrace run`: the daemon, or one worker of one sink in the foreground."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer


def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The pipeline file.")] = Path(
        "pipeline.yaml"
    ),
    sink: Annotated[
        str | None, typer.Option(help="Only this sink, one worker, in the foreground.")
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(help="A lasting name: a restart under it keeps its partitions at once."),
    ] = None,
    number: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Apply changes until stopped: a process for each worker of each sink, or one of them."""
    from tailrace.config import load
    from tailrace.journal import configure

    pipeline = load(config)
    configure(pipeline.log)
    if sink is None:
        _daemon(config, pipeline)
    else:
        _one(pipeline, sink, number, instance)


def _one(pipeline: Any, sink: str, number: int, instance: str | None) -> None:
    import os

    from tailrace.config import chosen
    from tailrace.killpoint import from_environment
    from tailrace.process import STATUS_FD, Worker

    chosen(pipeline, sink)
    worker = Worker(pipeline, sink, number)
    if STATUS_FD not in os.environ:
        _serve(pipeline, lambda: [worker.status()], worker.settled, lambda: False)
    worker.run(instance=instance, reached=from_environment(os.environ))


def _daemon(config: Path, pipeline: Any) -> None:
    from tailrace.supervise import Daemon

    daemon = Daemon(config, pipeline)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    _serve(pipeline, daemon.statuses, daemon.settled, lambda: daemon.is_stopping)
    raise typer.Exit(daemon.run())


def _serve(pipeline: Any, statuses: Any, settled: Any, is_stopping: Any) -> None:
    import structlog

    from tailrace.exits import Problem
    from tailrace.health import Health

    host, port = pipeline.health.host, pipeline.health.port
    try:
        health = Health(host, port, statuses, settled, is_stopping)
    except OSError as error:
        raise Problem(
            "TR-RUN-006",
            f"{host}:{port} cannot be served ({error.strerror}): set `health.port` to another one,"
            " or TAILRACE__HEALTH__PORT=0 to let it choose",
        ) from error
    structlog.get_logger().info("serving", livez=f"{health.url}/livez", pipeline=pipeline.name)
