"""One thread that looks at every pipeline; whoever shows something takes the newest snapshot."""

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque

from tailrace.watch.history import Grain, History, Point
from tailrace.watch.sampler import Sampler
from tailrace.watch.view import Pipeline, Snapshot

SPARK = 60  # looks
log = logging.getLogger(__name__)


class Hub:
    """`start` it; `latest` is the newest snapshot, of number `number`."""

    def __init__(self, sampler: Sampler, history: History) -> None:
        self._sampler = sampler
        self._history = history
        self._lock = threading.Lock()  # of the history
        self._ended = threading.Event()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        self.latest = Snapshot(time.time(), sampler.interval_s, ())
        self.number = 0
        self._failure: str | None = None
        self.lags_s: dict[tuple[str, str], deque[float | None]] = defaultdict(
            lambda: deque(maxlen=SPARK)
        )

    @property
    def is_stopping(self) -> bool:
        return self._ended.is_set()

    @property
    def trouble(self) -> str | None:
        """Why nobody looks, or why the history is not being kept."""
        return self._failure or self._history.trouble

    def start(self) -> None:
        self._thread.start()

    def interrupt(self) -> None:
        """Looks no more, and wakes everybody who waits for news; safe in a signal's handler."""
        self._ended.set()
        self._wake()

    def stop(self) -> None:
        """Once; nothing may be asked after it."""
        self.interrupt()
        self._sampler.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._history.close()

    def pipeline(self, name: str) -> Pipeline | None:
        """As it was last seen."""
        return next((one for one in self.latest.pipelines if one.name == name), None)

    def series(self, pipeline: str, sink: str, grain: Grain, since_s: float) -> list[Point]:
        """Of a sink, or of the source as sink ""; in order of time. Raises Problem."""
        with self._lock:
            return self._history.series(pipeline, sink, grain, since_s)

    async def news(self, after: int) -> int:
        """Waits for a snapshot newer than number `after`; returns its number."""
        waits = (asyncio.get_running_loop(), asyncio.Event())
        self._waiting.add(waits)
        try:
            while self.number <= after and not self.is_stopping:
                await waits[1].wait()
                waits[1].clear()
        finally:
            self._waiting.discard(waits)
        return self.number

    def _run(self) -> None:
        while not self._ended.wait(self._sampler.interval_s):
            try:
                self._show(self._sampler.look())
                self._failure = None
                with self._lock:
                    self._history.add(self.latest)
            except Exception as error:  # what was seen before must not stand for now
                log.exception("the look failed")
                self._failure = f"The look failed ({type(error).__name__}); see the log."
                self._show(Snapshot(time.time(), self._sampler.interval_s, ()))

    def _show(self, snapshot: Snapshot) -> None:
        for pipeline in snapshot.pipelines:
            for sink in pipeline.sinks:
                self.lags_s[pipeline.name, sink.name].append(sink.lag_s)
        self.latest = snapshot
        self.number += 1
        self._wake()

    def _wake(self) -> None:
        for loop, event in tuple(self._waiting):
            loop.call_soon_threadsafe(event.set)
