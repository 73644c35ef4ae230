"""In-memory neighbours of the loop, and the fuse that ends the process at any call between them."""

from collections.abc import Mapping, Sequence
from typing import Any

from consumer.errors import Rebalanced
from consumer.event import Batch, ChangeEvent, DeadLetter, Mark, Record, Span, TopicPartition
from consumer.facts import Fact


class Crash(BaseException):
    """The process is gone: nobody may catch this."""


class Fuse:
    """Burns down by one at each call; the call at which it is down is the last, before or after."""

    def __init__(self, calls: int, *, after: bool = False) -> None:
        self.left = calls
        self.after = after

    def wrap(self, neighbour: Any) -> Any:
        return _Fused(neighbour, self)


class _Fused:
    def __init__(self, neighbour: Any, fuse: Fuse) -> None:
        self._neighbour, self._fuse = neighbour, fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._neighbour, name)
        fuse = self._fuse

        def call(*arguments: Any) -> Any:
            fuse.left -= 1
            if fuse.left == 0 and not fuse.after:
                raise Crash(name)
            answer = method(*arguments)
            if fuse.left == 0:
                raise Crash(name)
            return answer

        return call


class Topics:
    """What Kafka keeps: records by partition, and the group's committed offsets."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.logs: dict[TopicPartition, list[Record]] = {}
        for record in records:
            self.logs.setdefault(record.at, []).append(record)
        self.committed: dict[TopicPartition, int] = {}


class LogSource:
    """A Source over Topics; gives at most `most` records a poll and then nothing."""

    def __init__(self, topics: Topics, most: int = 3) -> None:
        self._topics = topics
        self._most = most
        self._next: dict[TopicPartition, int] | None = None

    def poll(self) -> Mapping[TopicPartition, Sequence[Record]]:
        if self._next is None:
            raise Rebalanced(list(self._topics.logs))
        polled = {}
        for at, log in self._topics.logs.items():
            start = self._next[at]
            if found := log[start : start + self._most]:
                polled[at] = found
                self._next[at] = start + len(found)
        return polled

    def start(self, marks: Mapping[TopicPartition, Mark]) -> Mapping[TopicPartition, Mark]:
        self._next = {at: mark.next_offset for at, mark in marks.items()}
        return marks

    def commit(self, spans: Mapping[TopicPartition, Span]) -> None:
        self._topics.committed |= {at: span.stop for at, span in spans.items()}

    def hold(self, seconds: float) -> None:
        pass

    @property
    def is_drained(self) -> bool:
        logs = self._topics.logs
        return self._next is not None and all(
            self._next[at] == len(log) for at, log in logs.items()
        )


class MemoryKeys:
    """A Deduplicator whose keys are a set that outlives it, and may forget all of them."""

    def __init__(self, known: set[bytes]) -> None:
        self.known = known

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None:
        pass

    def unseen(self, events: list[ChangeEvent]) -> list[ChangeEvent]:
        return [event for event in events if event.fresh or event.id not in self.known]

    def remember(self, batch: Batch) -> None:
        self.known |= {event.id for event in batch.changes}


class Drawer:
    """Dead letters in a list."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def put(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters


class Facts:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Fact] = []

    def __call__(self, fact: Fact) -> None:
        self.heard.append(fact)

    def of(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.heard if isinstance(fact, kind)]
