"""What a test does with a pipeline: wait for facts, look at each stage, and judge the outcome."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import kafka.errors
import psycopg

from connectors.errors import ConnectorError
from connectors.lifecycle import states
from connectors.rest import Connect
from consumer.event import TopicPartition
from tailrace.asking import Away
from tailrace.config import Pipeline
from tailrace.harness import capture, effects, golden, picture, topics
from tailrace.harness.chain import Chain
from tailrace.harness.commands import SINK
from tailrace.harness.sink import differences, explain
from tailrace.harness.states import STATES, state
from tailrace.harness.topics import Event, Parked
from tailrace.harness.waits import WITHIN_S, Late, eventually
from tailrace.lag import Row, SourceRow
from tailrace.lag_sources import measure
from tailrace.logs import Offsets
from tailrace.passed import short_of
from tailrace.verify import TableResult
from tailrace.wiring import dead_letter_topic

T = TypeVar("T")
AWAY = (psycopg.OperationalError, ConnectorError, kafka.errors.KafkaError, Away, OSError)
"""What a server that a test has taken away makes us see: it is waited for."""


class Cdc(Chain):
    """
    Made by the fixture `cdc`. `register()`, then `start()`, and changes flow; the fixture closes it
    after the test.

    LSNs are numbers, as `sql` returns them; times to wait are in seconds. A wait that ends in vain
    raises AssertionError with a picture of every server and the last lines of each worker.
    """

    def __init__(self, *where: Any, update_golden: bool = False, **how: Any) -> None:
        super().__init__(*where, **how)
        self._update_golden = update_golden

    def wait_captured(self, lsn: int | None = None, within_s: float = WITHIN_S) -> None:
        """
        Until all that was committed up to `lsn` (now, without one) is durable in Kafka, a first
        snapshot included. It takes up to Connect's `offset.flush.interval.ms`, 2 s here.

        Ends as well when nothing was changed or all of it is filtered, since it writes heartbeats
        of its own. Raises AssertionError at once when the connector or its task has failed.
        """
        watch = capture.Watch(self.spec, lsn)

        def captured() -> bool:
            with self.at() as at:
                return watch.is_captured(at)

        self._await(captured, within_s, "all changes in Kafka", every_s=0.1)

    def wait_snapshot_done(self, within_s: float = WITHIN_S) -> None:
        """Until the connector streams, and all rows of its first snapshot are applied."""
        self.wait_applied(within_s=within_s)

    def wait_applied(self, lsn: int | None = None, within_s: float = WITHIN_S) -> None:
        """
        Until the sink has all that was committed in the source up to `lsn` (now, without one).

        First `wait_captured`; then the sink must pass the ends that the topics have. Our own sink
        says in its database how far it is; another worker by what it commits for CDC_GROUP.
        """
        self.wait_captured(lsn, within_s)
        ends = topics.ends(self.brokers, self.topics)

        def applied() -> bool:
            return not self._short_of(ends)

        self._await(applied, within_s, f"the sink at {_shown(ends)}")

    def _short_of(self, ends: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        once = self.spec.exactly_once
        return short_of(self.brokers, self.topics, self.applied(), ends, exactly_once=once)

    def wait_state(self, wanted: str, within_s: float = WITHIN_S) -> None:
        """Until `state()` is that word of STATES. Raises ValueError for another word."""
        if wanted not in STATES:
            raise ValueError(f"There is no state {wanted!r}; the states are {', '.join(STATES)}.")
        self._await(lambda: self.state() == wanted, within_s, f"state {wanted}")

    def wait_converged(self, within_s: float = WITHIN_S) -> None:
        """Until source and sink are equal, row by row; it ends only where writing rests."""
        self._await(self.assert_converged, within_s, "source and sink equal")

    def wait_offset(self, table: str, offset: int, partition: int = 0) -> None:
        """Until the sink is durably at this offset of the table's topic."""
        at = TopicPartition(self.topic(table), partition)
        self._await(lambda: self.applied().get(at, 0) >= offset, WITHIN_S, f"offset {offset}")

    def eventually(
        self, fact: Callable[[], T | None], within_s: float = WITHIN_S, what: str = ""
    ) -> T:
        """As `waits.eventually`, with the picture when it ends in vain."""
        return self._await(fact, within_s, what)

    def _await(
        self, fact: Callable[[], T | None], within_s: float, what: str, every_s: float = 0.05
    ) -> T:
        def asked() -> T | None:
            try:
                return fact()
            except AWAY as away:
                raise Late(f"not within {within_s:.0f} s: {what}: {away}") from away

        try:
            return eventually(asked, within_s, what, every_s=every_s)
        except (AssertionError, capture.Hopeless) as error:
            raise AssertionError(f"{error}\n{self.picture()}") from error

    def events(self, table: str) -> list[Event]:
        """The changes of `table` in Kafka now, in order; `wait_captured` first."""
        return topics.events(self.brokers, self.topic(table))

    def parked(self) -> list[Parked]:
        """The dead letters of the sink, in order."""
        return topics.parked(self.brokers, dead_letter_topic(self.pipeline, SINK))

    def applied(self) -> dict[TopicPartition, int]:
        """The next offset of each partition that the sink has met."""
        if self.worker is None:
            return self.sink.offsets(self.group())
        return topics.committed(self.brokers, self.group())

    def lag(self) -> tuple[list[Row], SourceRow]:
        """What `tailrace lag` reads."""
        return measure(self.pipeline, self.spec, self._read_applied)

    def _read_applied(self, pipeline: Pipeline, name: str) -> Offsets:
        try:
            return self.applied()
        except (psycopg.Error, *AWAY) as error:
            raise Away(f"It is not known how far the sink is: {error}") from error

    def state(self) -> str:
        """One word of STATES for the pipeline as it is now."""
        with Connect(self.spec.connect_url) as connect:
            parts = [part for _, part, _ in states(connect, self.name)]
        return state(*self.lag(), parts)

    def picture(self) -> str:
        """Slot, connector and tasks, lag by stage, Redis, and the last lines of each worker."""
        return picture.draw(self.pipeline, self.spec, self.lag, self.running)

    def differences(self, *tables: str) -> list[TableResult]:
        """Those of `tables` (of all) in which source and sink are not the same."""
        return differences(self.source_dsn, self.sink, self._chosen(tables))

    def assert_converged(self, *tables: str) -> bool:
        """
        The sink's `tables` (all of them) have exactly the source's rows. It looks once: wait
        before. Raises AssertionError naming the rows that differ by key, with both sides.
        """
        found = self.differences(*tables)
        assert not found, explain(self.source_dsn, self.sink, found)
        return True

    def assert_exactly_once_effect(self, *tables: str) -> bool:
        """
        No change of `tables` (of all) took effect twice; see effects.py for what is counted.

        Raises AssertionError naming table, key, position, and how often.
        """
        chosen = self._chosen(tables)
        with self.sink.connect() as target:
            seen = effects.counts(target, chosen)
            without = [table for table, (_, positioned) in seen.items() if not positioned]
            events = {table: self.events(table) for table in without}
            effects.assert_once(target, chosen, events)
        return True

    def assert_order_per_key(self, *tables: str) -> bool:
        """
        No row of `tables` (of all) went back to an older change. Raises AssertionError naming
        table, key and both positions, and where the sink's rows do not say their position.
        """
        chosen = self._chosen(tables)
        with self.sink.connect() as target:
            for table, (_, positioned) in effects.counts(target, chosen).items():
                assert positioned, (
                    f"The sink's rows of {table} do not say which change they come from (columns"
                    " _cdc_gen, _cdc_commit, _cdc_lsn), so their order is not known."
                )
            effects.assert_in_order(target, chosen)
        return True

    def golden(self, events: Sequence[Event], path: Path) -> None:
        """Compare with a file of JSON lines, as golden.py has it; --update-golden writes it."""
        golden.compare(events, path, update=self._update_golden)

    def _chosen(self, tables: Sequence[str]) -> Sequence[str]:
        known = self.tables
        for table in tables:
            if table not in known:
                raise ValueError(f"The pipeline has no {table!r}; it has {', '.join(known)}.")
        return tables or known


def _shown(ends: Mapping[TopicPartition, int]) -> str:
    return ", ".join(f"{at.topic}[{at.partition}] {end}" for at, end in sorted(ends.items()))
