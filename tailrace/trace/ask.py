"""The questions of a trace to servers other than Kafka: clocks, sinks, workers."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import httpx
import msgspec
import psycopg

from connectors.spec import ConnectorSpec
from consumer.event import ChangeEvent
from consumer.settled import Settled
from tailrace import lag_sources
from tailrace.asking import ANSWER_WITHIN_S, CONNECT_WITHIN_S, Away, ask, database
from tailrace.config import Pipeline
from tailrace.lag import Source
from tailrace.parked.resolutions import Resolutions
from tailrace.trace import target
from tailrace.trace.letters import Place
from tailrace.trace.view import Letter
from tailrace.watch import probes
from tailrace.watch.skew import Clock
from tailrace.watch.view import Skew
from tailrace.wiring import group_of

CLOCK_LOOKS = 6  # at Connect's clock, which shows whole seconds
CLOCK_EVERY_S = 0.2
WITHIN_S = 2.0 * CONNECT_WITHIN_S + CLOCK_LOOKS * CLOCK_EVERY_S

FindSettled = Callable[[Place], Sequence[Settled] | str]


def clocks(pipeline: Pipeline, spec: ConnectorSpec) -> tuple[Source | Away, Skew | Away]:
    """The source with its clock, and Connect's clock; takes a second."""
    found = ask(
        {
            "the source": lambda: lag_sources.read_source(pipeline, spec),
            "Connect": lambda: _connect_clock(spec),
        },
        WITHIN_S,
    )
    return found["the source"], found["Connect"]


def marks(pipeline: Pipeline) -> Mapping[str, target.Marks]:
    """How far each sink is; nothing for one that does not answer."""
    found = ask({name: partial(_marks, pipeline, name) for name in pipeline.sinks}, WITHIN_S)
    return {name: {} if isinstance(each, Away) else each for name, each in found.items()}


def sink_now(pipeline: Pipeline, name: str, changes: Sequence[ChangeEvent]) -> Any:
    """As `target.look`; an Away where the database does not answer."""
    mine = [change for change in changes if change.table in pipeline.sinks[name].tables]
    group = group_of(pipeline, name)
    return _of_sink(pipeline, name, lambda connection: target.look(connection, group, mine))


def decided(
    pipeline: Pipeline, name: str, log: str, found: Mapping[Place, list[Letter]]
) -> Mapping[Place, list[Letter]]:
    """The letters with what was decided about them; `log`: Kafka's id of their topic."""
    numbers = [letter.number for letters in found.values() for letter in letters]

    def look(connection: Any) -> Any:
        resolutions = Resolutions(connection, group_of(pipeline, name), log)
        return resolutions.of(numbers) if numbers and resolutions.are_kept() else {}

    known = _of_sink(pipeline, name, look) if numbers else {}
    outcomes = {} if isinstance(known, Away) else {n: each.outcome for n, each in known.items()}
    return {
        place: [
            msgspec.structs.replace(letter, outcome=outcomes.get(letter.number))
            for letter in letters
        ]
        for place, letters in found.items()
    }


def _marks(pipeline: Pipeline, name: str) -> Any:
    group = group_of(pipeline, name)
    return _of_sink(pipeline, name, lambda connection: target.marks(connection, group))


def _of_sink(pipeline: Pipeline, name: str, look: Callable[[Any], Any]) -> Any:
    what = f"database of sink {name}"
    try:
        with database(pipeline.sinks[name].dsn, what) as connection:
            try:
                return look(connection)
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                return Away(f"The {what} has no tailrace.offsets: run `tailrace schema apply`.")
    except Away as away:
        return away


def _connect_clock(spec: ConnectorSpec) -> Skew:
    clock = Clock("connect")
    with probes.http(spec.connect_url, "Connect") as client:
        for _ in range(CLOCK_LOOKS):
            asked_at_s = time.time()
            date_s = probes.look_at_connect(client).date_s
            if date_s is not None:
                clock.heard(asked_at_s, time.time(), date_s, 1.0)
            time.sleep(CLOCK_EVERY_S)
    if clock.skew is None:
        raise Away("Connect does not say what time it is.")
    return clock.skew


@contextmanager
def workers(pipeline: Pipeline) -> Iterator[FindSettled]:
    """Asks every worker that answers for the batches of a record; a sentence where none does."""
    urls = probes.worker_urls(pipeline)
    if not pipeline.dashboard.workers and not pipeline.health.port:
        yield lambda place: "set health.port in the pipeline's file to see when it was applied"
        return
    timeout = httpx.Timeout(ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S)
    with httpx.Client(timeout=timeout) as client:
        yield lru_cache(partial(_settled, client, urls))


def _settled(client: httpx.Client, urls: Sequence[str], place: Place) -> Sequence[Settled] | str:
    found: list[Settled] = []
    away: list[str] = []
    topic, partition, offset = place
    params: dict[str, str | int] = {"topic": topic, "partition": partition, "offset": offset}
    for url in (each for name in urls for each in probes.addresses(httpx.URL(name))):
        try:
            answer = client.get(url.join("/settled.json"), params=params)
            answer.raise_for_status()
            found += msgspec.json.decode(answer.content, type=list[Settled])
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            away.append(f"no worker answers at {url.host}:{url.port} ({type(error).__name__})")
    return found or (", ".join(away) if away else [])
