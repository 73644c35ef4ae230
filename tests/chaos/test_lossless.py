"""
Debezium loses changes on restarts; the lossless class does not (docs/lossless.md).

All connectors stream the same database in the same worker, through the same restarts and kills;
what each sent is compared with a slot that nothing disturbed. `TAILRACE_CHAOS=long`: 40 kills and
40 restarts of each.
"""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from kafka import KafkaConsumer, TopicPartition

from connectors import operate
from connectors.lifecycle import await_state, wait_running
from connectors.register import apply, make_plan
from connectors.spec import ConnectorSpec
from devstack import Endpoints, Stack
from tailrace.harness.waits import eventually
from tests.chaos.workload import TABLES, Identity, Writers, committed, create_tables, witness
from tests.sourcedb import Source, source_database

LONG = os.environ.get("TAILRACE_CHAOS") == "long"
TIMES = 40 if LONG else 2
EXACTLY_ONCE = "exactly-once"
MODES = [EXACTLY_ONCE, "at-least-once"] if LONG else [EXACTLY_ONCE]
SEED = int(os.environ.get("TAILRACE_CHAOS_SEED", random.randrange(1 << 30)))

Position = tuple[int, int]


@dataclass
class Delivered:
    """What a connector sent: how often each change, and at which position it was first seen."""

    times: Counter[Identity] = field(default_factory=Counter)
    positions: dict[Identity, set[Position]] = field(default_factory=dict)
    falls: int = 0

    def lost(self, truth: Counter[Identity]) -> set[Identity]:
        return set(truth) - set(self.times)

    @property
    def moved(self) -> list[Identity]:
        """Changes that were sent with more than one position."""
        return [identity for identity, seen in self.positions.items() if len(seen) > 1]

    @property
    def repeats(self) -> int:
        return self.times.total() - len(self.times)


@pytest.fixture(scope="module", params=MODES)
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """One of its own: in exactly-once mode a worker runs all of its connectors that way."""
    exactly_once = request.param == EXACTLY_ONCE
    stack = Stack(tmp_path_factory.mktemp("stack"), exactly_once=exactly_once)
    stack.up()
    yield stack
    stack.down()


@pytest.fixture
def source(stack: Stack) -> Iterator[Source]:
    with source_database(Endpoints.load(stack.folder)) as source:
        source.db.execute("DROP TABLE orders")
        create_tables(source.db)
        yield source


def cell(stack: Stack, source: Source, name: str, **changes: object) -> ConnectorSpec:
    """
    A connector to compare. Without exactly-once the position that it stores lags behind, so only
    small batches make it stop inside a group of one LSN often.
    """
    own = f"{source.base.name}_{name}"
    names = {"name": own, "slot": own, "topic_prefix": own}
    batch = {"max.batch.size": "256" if stack.options.exactly_once else "4"}
    return source.spec(tables=TABLES, settings=batch, snapshot="no_data", **names, **changes)


def kill_worker(stack: Stack, source: Source, specs: Collection[ConnectorSpec]) -> None:
    """SIGKILL; back when every connector runs again in a new worker."""
    worker = stack.part("connect")
    worker.kill()
    worker.start()
    for spec in specs:
        wait_running(source.at.connect, spec.name)


def restart_by_rest(source: Source, spec: ConnectorSpec) -> None:
    """As anybody would who has only Connect's REST interface."""
    source.at.connect.stop(spec.name)
    await_state(source.at.connect, spec.name, "STOPPED")
    source.at.connect.resume(spec.name)
    wait_running(source.at.connect, spec.name)


def await_progress(source: Source, specs: Collection[ConnectorSpec], changes: int) -> None:
    """Return once every connector has sent so many more records, and goes on sending."""
    with consumer(source) as reader:

        def sent(spec: ConnectorSpec) -> int:
            topic = TopicPartition(f"{spec.topic_prefix}.public.orders", 0)
            there = reader.partitions_for_topic(topic.topic)
            return int(reader.end_offsets([topic])[topic]) if there else 0

        before = {spec.name: sent(spec) for spec in specs}

        def reached() -> bool:
            return all(sent(spec) >= before[spec.name] + changes for spec in specs)

        eventually(reached, 120, f"{changes} more records from every connector")


def consumer(source: Source) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=source.endpoints.kafka,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )


def delivered(source: Source, spec: ConnectorSpec) -> Delivered:
    """Read every topic of a connector up to the last of the closing changes."""
    found = Delivered()
    for table in TABLES:
        highest: Position = (0, 0)
        for identity, position in changes_of(source, f"{spec.topic_prefix}.public.{table}"):
            if identity not in found.times:
                found.falls += position < highest
                highest = max(highest, position)
            found.times[identity] += 1
            found.positions.setdefault(identity, set()).add(position)
    return found


def changes_of(source: Source, topic: str) -> Iterator[tuple[Identity, Position]]:
    """Changes of a topic, in order, until the closing change with key -1."""
    with consumer(source) as reader:
        reader.assign([TopicPartition(topic, 0)])
        quiet = 0
        while quiet < 60:
            polled = reader.poll(timeout_ms=1000)
            quiet = 0 if polled else quiet + 1
            for record in (record for records in polled.values() for record in records):
                event = json.loads(record.value)
                origin, key = event["source"], json.loads(record.key)["id"]
                commit, lsn = json.loads(origin["sequence"])
                yield (
                    Identity(origin["table"], origin["lsn"], key, event["op"]),
                    (
                        int(commit or 0),
                        int(lsn),
                    ),
                )
                if key == -1:
                    return
    pytest.fail(f"{topic} does not end with the closing change")


@pytest.mark.timeout(7200 if LONG else 300)
def test_lossless_loses_nothing_where_plain_may(stack: Stack, source: Source) -> None:
    cells = {
        "lossless": cell(stack, source, "lossless"),
        "plain": cell(stack, source, "plain", lossless=False),
    }

    def disturb(chance: random.Random) -> None:
        for number in range(TIMES):
            say(f"round {number + 1} of {TIMES}")
            await_progress(source, cells.values(), chance.randrange(20, 200))
            kill_worker(stack, source, cells.values())
            await_progress(source, cells.values(), chance.randrange(20, 200))
            with ThreadPoolExecutor(len(cells)) as pool:
                list(pool.map(lambda spec: restart_by_rest(source, spec), cells.values()))

    truth, sent = compare(source, cells, disturb)
    assert sent["lossless"].lost(truth) == set()
    assert sent["lossless"].falls == 0, "a first delivery went back in position"
    assert sent["lossless"].moved == [], "a repeat has another position"
    if LONG and stack.options.exactly_once:
        assert sent["plain"].lost(truth), "plain Debezium lost nothing: is the wrapper needed?"


@pytest.mark.timeout(3600 if LONG else 300)
def test_our_restart_of_a_plain_connector_loses_nothing(stack: Stack, source: Source) -> None:
    cells = {"plain, restarted by us": cell(stack, source, "plain", lossless=False)}

    def disturb(chance: random.Random) -> None:
        for _ in range(TIMES):
            await_progress(source, cells.values(), chance.randrange(20, 200))
            for spec in cells.values():
                operate.restart(spec, source.at)

    truth, sent = compare(source, cells, disturb)
    assert sent["plain, restarted by us"].lost(truth) == set()


def compare(
    source: Source,
    cells: Mapping[str, ConnectorSpec],
    disturb: Callable[[random.Random], None],
) -> tuple[Counter[Identity], dict[str, Delivered]]:
    """Write while the connectors are disturbed: what was committed, and what each of them sent."""
    say(f"seed {SEED}")
    slot = f"{source.base.name}_witness"
    try:
        for spec in cells.values():
            apply(spec, source.at, make_plan(spec, source.at))
        with witness(source.db, slot):
            with Writers(source.dsn, SEED):
                disturb(random.Random(SEED))
            for table in TABLES:
                source.db.execute(f"INSERT INTO {table} VALUES (-1, 'closing')")  # noqa: S608
            truth = committed(source.db, slot)
        sent = {name: delivered(source, spec) for name, spec in cells.items()}
    finally:
        for spec in cells.values():
            operate.delete(spec, source.at, drop_slot=True)
    report(truth, sent)
    for name, found in sent.items():
        assert set(found.times) <= set(truth), f"{name} sent what was never committed"
    return truth, sent


def say(line: str) -> None:
    """To the captured output, which a failed test and `pytest -s` show."""
    sys.stderr.write(line + "\n")


def report(truth: Counter[Identity], sent: dict[str, Delivered]) -> None:
    """The figures of docs/lossless.md."""
    say(f"{len(truth)} changes, {TIMES} times")
    for name, found in sent.items():
        lost = found.lost(truth)
        say(f"{name}: {len(lost)} lost, {found.repeats} repeated, {found.falls} falls")
        for identity in sorted(lost)[:5]:
            say(f"    {identity}")
