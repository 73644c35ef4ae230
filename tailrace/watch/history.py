"""
What each sink and source was like: an hour look by look, a day in steps of 30 s.

A small SQLite file, so that a restart forgets nothing. A source's points are those of the sink "".
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from sinks.target import load_statements
from tailrace.exits import FAILED, TRY_AGAIN, Problem
from tailrace.watch import view
from tailrace.watch.states import State

LOOKS_S = 3600.0
STEP_S: Literal[30] = 30
STEPS_S = 24 * 3600.0
FORGET_EVERY_S = 60.0
LOCKED_S = 0.5  # somebody else's lock may hold up a look for so long
_STATEMENTS = load_statements(Path(__file__).with_name("history.sql"))

Grain = Literal[1, 30]


class Point(msgspec.Struct, frozen=True):
    """
    One look, or the worst of 30 s: highest lags, newest counts. Of a source `lag_s` is the age
    of the newest heartbeat in Kafka. None: not known then.
    """

    at_s: float
    state: State
    lag_s: float | None
    behind_records: int | None
    arrived_per_s: float | None
    applied_per_s: float | None
    visible_s: float | None
    retained_bytes: int | None


class History:
    """
    Kept in `path`; None: in memory. One thread at a time may use it.

    Raises Problem (TR-DSH-002) where the file cannot be written or is none of ours.
    """

    def __init__(self, path: Path | None) -> None:
        self.trouble: str | None = None
        self._steps: dict[tuple[str, str], Point] = {}
        self._forgot_at_s = 0.0
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(
                path or ":memory:", check_same_thread=False, timeout=LOCKED_S
            )
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute(_STATEMENTS["schema"])
        except (sqlite3.Error, OSError) as error:
            raise Problem(
                "TR-DSH-002",
                f"The history cannot be kept in {path} ({error}): name another file with --history,"
                " or move that one away.",
                exit_code=FAILED,
            ) from error

    def close(self) -> None:
        self._file.close()

    def add(self, snapshot: view.Snapshot) -> None:
        """`trouble` says why it could not be kept; the next one is tried again."""
        points = list(_points(snapshot))
        rows = [_row(1, key, point) for key, point in points]
        rows += self._steps_done(points)
        try:
            with self._file:
                self._file.executemany(_STATEMENTS["add"], rows)
                if abs(snapshot.at_s - self._forgot_at_s) > FORGET_EVERY_S:
                    self._forgot_at_s = snapshot.at_s
                    for grain_s, kept_s in ((1, LOOKS_S), (STEP_S, STEPS_S)):
                        kept = (grain_s, snapshot.at_s - kept_s, snapshot.at_s)
                        self._file.execute(_STATEMENTS["forget"], kept)
            self.trouble = None
        except sqlite3.Error as error:
            self.trouble = f"The history is not being kept: {error}."

    def series(self, pipeline: str, sink: str, grain: Grain, since_s: float) -> list[Point]:
        """In order of time. Raises Problem (TR-DSH-007) where the file cannot be read."""
        try:
            found = self._file.execute(_STATEMENTS["series"], (grain, pipeline, sink, since_s))
            return [Point(at_s, State(state), *rest) for at_s, state, *rest in found]
        except (sqlite3.Error, ValueError) as error:
            raise Problem(
                "TR-DSH-007",
                f"The history cannot be read ({error}): if that does not pass, name another file"
                " with --history.",
                exit_code=TRY_AGAIN,
            ) from error

    def _steps_done(
        self, points: Sequence[tuple[tuple[str, str], Point]]
    ) -> list[tuple[object, ...]]:
        """Steps that ended, as rows; the others take the points in."""
        done = []
        for key, point in points:
            at_s = float(point.at_s // STEP_S * STEP_S)
            step = self._steps.get(key)
            if step is not None and step.at_s != at_s:
                done.append(_row(STEP_S, key, step))
                step = None
            self._steps[key] = _worse(step, point, at_s)
        return done


def _points(snapshot: view.Snapshot) -> Iterator[tuple[tuple[str, str], Point]]:
    for pipeline in snapshot.pipelines:
        source = pipeline.source
        yield (
            (pipeline.name, ""),
            Point(
                at_s=snapshot.at_s,
                state=source.verdict.state,
                lag_s=source.heartbeat_in_kafka_age_s,
                behind_records=None,
                arrived_per_s=None,
                applied_per_s=None,
                visible_s=None,
                retained_bytes=source.budget.retained_bytes,
            ),
        )
        for sink in pipeline.sinks:
            yield (
                (pipeline.name, sink.name),
                Point(
                    at_s=snapshot.at_s,
                    state=sink.verdict.state,
                    lag_s=sink.lag_s,
                    behind_records=sink.behind_records,
                    arrived_per_s=sink.arrived_per_s,
                    applied_per_s=sink.applied_per_s,
                    visible_s=sink.waterfall.visible_s if sink.waterfall else None,
                    retained_bytes=None,
                ),
            )


def _worse(step: Point | None, point: Point, at_s: float) -> Point:
    newest = msgspec.structs.replace(point, at_s=at_s)
    if step is None:
        return newest
    return msgspec.structs.replace(
        newest,
        state=max(step.state, point.state, key=lambda state: state.badness),
        lag_s=_highest(step.lag_s, point.lag_s),
        visible_s=_highest(step.visible_s, point.visible_s),
        retained_bytes=_highest(step.retained_bytes, point.retained_bytes),
    )


def _highest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _row(grain_s: int, key: tuple[str, str], point: Point) -> tuple[object, ...]:
    at_s, state, *rest = msgspec.structs.astuple(point)
    return (grain_s, *key, at_s, state.value, *rest)
