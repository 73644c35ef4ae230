"""
A sweep over a pipeline, of its destinations and then its sagas: which rows differ for sure, and at
each rung of the ladder what is done about that.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg

from consumer.errors import Refused
from supervision import ladder, proposals
from supervision.mirror import Mirror, Sight, Unsettled
from tailrace import saga_sweeps
from tailrace.asking import Away
from tailrace.config import Pipeline
from tailrace.databases import Connection, connect, why
from tailrace.destinations import destinations, mirror_of, opened
from tailrace.exits import Problem
from tailrace.passed import Late, await_passed
from tailrace.source import spec_of
from tailrace.swept import Swept, about
from tailrace.verify import TableResult, verify

WITHIN_S = 30.0


def sweep(pipeline: Pipeline, within_s: float = WITHIN_S) -> list[Swept]:
    """
    Each destination once, at the same time, then the sagas. What cannot be said now is a `problem`.
    """
    subjects = destinations(pipeline)
    found = saga_sweeps.sweep(pipeline)
    if not subjects:
        return found
    with ThreadPoolExecutor(len(subjects)) as pool:
        one = partial(_one, pipeline, within_s)
        return [*pool.map(one, subjects.keys(), subjects.values()), *found]


def _one(pipeline: Pipeline, within_s: float, subject: str, sink: str) -> Swept:
    began_s = time.monotonic()
    swept = Swept(subject)
    try:
        with (
            connect(pipeline.source.dsn, "source database") as source,
            opened(pipeline, sink) as tx,
        ):
            with tx.transaction():
                swept.rung = proposals.standing(tx, subject).rung
            _Sweep(pipeline, sink, source, tx, swept, within_s).run()
    except (Problem, Away) as problem:
        swept.problem = problem.sentence
    except (Late, Unsettled, Refused) as unknown:
        swept.problem = f"What differs is not known: {unknown}."
    except psycopg.Error as error:
        swept.problem = f"A server did not do it: {why(error)}."
    swept.seconds = round(time.monotonic() - began_s, 3)
    return swept


Suspect = tuple[Mirror, list[dict[str, str]], list[Sight], int]


class _Sweep:
    """Of one destination; it counts in `swept`."""

    def __init__(
        self,
        pipeline: Pipeline,
        sink: str,
        source: Connection,
        target: Connection,
        swept: Swept,
        within_s: float,
    ) -> None:
        self._pipeline, self._sink = pipeline, sink
        self._source, self._target = source, target
        self._swept = swept
        self._within_s = within_s

    def run(self) -> None:
        suspects = [suspect for result in self._compared() if (suspect := self._suspect(result))]
        if suspects:
            await_passed(self._pipeline, spec_of(self._pipeline), self._sink, self._within_s)
        for mirror, keys, before, differing in suspects:
            found = mirror.findings(keys, before)
            self._swept.differing += len(found)
            for finding in found:
                about(self._target, self._swept, finding, differing, mirror.mend)

    def _compared(self) -> list[TableResult]:
        tables = self._pipeline.sinks[self._sink].tables
        self._swept.tables = len(tables)
        return verify(self._source, self._target, tables, limit=ladder.MOST)

    def _suspect(self, result: TableResult) -> Suspect | None:
        """Whatever differs at a first look, most of which may only be on its way."""
        if result.problem:
            self._swept.problem = result.problem
        if result.differing > ladder.MOST:
            self._swept.problem = (
                f"{result.differing:,} rows of {result.table} differ, which is too many to be"
                " mended one by one: see whether the pipeline is behind, or take a new snapshot."
            )
        if not result.differences:
            return None
        at = self._pipeline, self._sink, self._source, self._target
        mirror = mirror_of(*at, result.table)
        keys = [difference.key for difference in result.differences]
        return mirror, keys, mirror.look(keys), result.differing
