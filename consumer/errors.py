"""
The class of an error is the decision; nothing else decides.

    Unreadable   the record cannot be decoded    -> dead letter, go on
    Rejected     the sink refuses some changes   -> dead letter those, apply the rest
    Busy         it cannot be done now           -> hold the partitions, same batch again, back-off
    Rebalanced   the assignment has changed      -> drop what is in flight, take over from the sink
    Fenced       another worker owns it          -> stop; the daemon starts anew
    Stopped      asked to stop while it waits    -> leave the batch, it is read again
    Diverged     the source's timeline changed   -> stop and say so; a person decides
    LogLost      Kafka no longer holds it        -> stop and say so; a person decides
    Refused      it cannot work as configured    -> stop and say so; a person decides
    Unreachable  a server does not answer        -> stop; the daemon starts anew
    anything else is a bug or a dead dependency  -> crash; the daemon restarts with back-off
"""

from collections.abc import Collection, Sequence

from consumer.event import ChangeEvent, TopicPartition


class Unreadable(Exception):
    """The record is no change event that this pipeline understands; the text says why."""


class Rejected(Exception):
    """The sink refuses these changes for good; each comes with the sentence that says why."""

    def __init__(self, refused: Sequence[tuple[ChangeEvent, str]]) -> None:
        super().__init__(
            f"{len(refused)} change(s) refused, the first one because: {refused[0][1]}"
        )
        self.refused = refused


class Busy(Exception):
    """Not now: the text says what is in the way and what mends it. Nothing was applied."""


class Rebalanced(Exception):
    """The group gave this worker another set of partitions."""

    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__(f"assigned {len(partitions)} partition(s)")
        self.partitions = partitions


class Fenced(Exception):
    """The offset row is not where this worker left it: somebody else moved it."""


class Stopped(Exception):
    """The worker was asked to stop while a batch had to wait; it stays in the log."""


class Diverged(Exception):
    """The log holds an older position with a newer commit time: the source's timeline changed."""


class LogLost(Exception):
    """Retention, truncation or a new topic took what the sink has not had yet."""


class Unreachable(Exception):
    """A server did not answer at start; the text says which, and what to look at."""


class Refused(Exception):
    """It cannot work as it is configured; the text says what to change."""
