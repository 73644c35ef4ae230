"""`tailrace lag`: how far each sink is behind, partition by partition, and the source's log."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption

if TYPE_CHECKING:
    from tailrace.lag import Row, SourceRow

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def lag(
    config: ConfigOption = DEFAULT_FILE,
    most: Annotated[
        str | None,
        typer.Option("--max", metavar="TIME", help="Exit 3 when later than this, like 30s or 5m."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """
    How far each sink is behind: records in Kafka that it has not applied, and the oldest one's age.

    What cannot be learned is a ?, with the reason. Exit code 0: all is known, and nothing is later
    than --max; 3: otherwise.
    """
    from tailrace.config import load
    from tailrace.exits import UNHEALTHY
    from tailrace.lag import over, unknowns
    from tailrace.lag_sources import measure
    from tailrace.source import spec_of

    limit_s = None if most is None else seconds(most, "--max")
    pipeline = load(config)
    rows, source = measure(pipeline, spec_of(pipeline))
    reasons = unknowns(rows, source)
    late = [] if limit_s is None else list(over(rows, source, limit_s))
    if json:
        _show_json(rows, source, limit_s, reasons, late)
    else:
        for line in (*_table(rows), *_totals(rows), *_source(source)):
            typer.echo(line)
        for reason in reasons:
            typer.echo(f"?  {reason}")
    for sentence in late:
        typer.echo(sentence, err=True)
    if reasons or late:
        raise typer.Exit(UNHEALTHY)


def seconds(text: str, option: str) -> float:
    """What a time like 30s or 5m means. Raises Problem (TR-LAG-001) that names the option."""
    from tailrace.exits import USAGE, Problem

    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(ms|s|m|h|)", text.strip())
    if match is None:
        raise Problem(
            "TR-LAG-001",
            f"{option} must be a time such as 30s, 500ms, 5m or 1h, not {text!r}.",
            exit_code=USAGE,
        )
    return float(match[1]) * _UNITS[match[2]]


def _table(rows: "Sequence[Row]") -> Iterator[str]:
    cells = [("sink", "topic", "partition", "behind", "lag")]
    cells += [
        (
            row.sink,
            row.topic,
            "-" if row.partition is None else str(row.partition),
            _records(row),
            _age(row),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for sink, topic, partition, behind, age in cells:
        yield (
            f"{sink:<{widths[0]}}  {topic:<{widths[1]}}  {partition:>{widths[2]}}"
            f"  {behind:>{widths[3]}}  {age:>{widths[4]}}"
        )


def _records(row: "Row") -> str:
    if row.behind_records is None:
        return "?" if row.unknown else "no topic yet"
    return f"{row.behind_records:,}"


def _age(row: "Row") -> str:
    if row.lag_s is not None:
        return f"{row.lag_s:,.1f} s"
    if row.is_snapshot:
        return "snapshot"
    return "?" if row.unknown else "-"


def _totals(rows: "Sequence[Row]") -> Iterator[str]:
    yield ""
    for sink in dict.fromkeys(row.sink for row in rows):
        own = [row for row in rows if row.sink == sink]
        behind = sum(row.behind_records or 0 for row in own)
        oldest_s = max((row.lag_s for row in own if row.lag_s is not None), default=None)
        parts = [f"{behind:,} records behind" if behind else "nothing behind"]
        parts += [f"the oldest {oldest_s:,.1f} s"] if oldest_s else []
        parts += ["in a snapshot"] if any(row.is_snapshot for row in own) else []
        unknown = sum(row.unknown is not None for row in own)
        if unknown == len(own):
            parts = ["?"]
        elif unknown:
            parts.append(f"and ? in {unknown} partition(s)")
        yield f"{sink}  {', '.join(parts)}"


def _source(source: "SourceRow") -> Iterator[str]:
    if source.is_read is None:
        yield f"source  slot {source.slot}: ?"
    else:
        reader = f"read by {source.reader or '?'}" if source.is_read else "read by nobody"
        yield f"source  slot {source.slot}: {reader}, {source.wal_status or 'no status'}"
        yield f"        {_bytes(source.retained_bytes)} of log kept"
        yield (
            f"        confirmed {_lsn(source.confirmed_lsn)} of {_lsn(source.current_lsn)},"
            f" {_bytes(source.unconfirmed_bytes)} to go"
        )
    yield (
        f"        heartbeat {_ago(source.heartbeat_age_s)},"
        f" in Kafka {_ago(source.heartbeat_in_kafka_age_s)}"
    )


def _ago(age_s: float | None) -> str:
    return "?" if age_s is None else f"{age_s:,.1f} s ago"


def _lsn(position: int | None) -> str:
    from connectors.position import lsn

    return "?" if position is None else lsn(position)


def _bytes(count: int | None) -> str:
    if count is None:
        return "?"
    return f"{count / (1 << 20):,.1f} MiB" if count >= 1 << 19 else f"{count / 1024:,.1f} KiB"


def _show_json(
    rows: "Sequence[Row]",
    source: "SourceRow",
    limit_s: float | None,
    unknown: Sequence[str],
    late: Sequence[str],
) -> None:
    import msgspec

    found = {
        "sinks": rows,
        "source": source,
        "max_lag_s": limit_s,
        "unknown": unknown,
        "late": late,
        "ok": not unknown and not late,
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(found).decode(), indent=2))
