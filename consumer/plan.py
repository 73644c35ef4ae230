"""From decoded changes to what the sink gets. Pure."""

from collections.abc import Mapping, Sequence

from consumer.errors import Rejected
from consumer.event import Batch, ChangeEvent, DeadLetter, Mark, Span, TopicPartition


def plan(
    changes: Sequence[ChangeEvent],
    begins: Mapping[TopicPartition, int],
    marks: Mapping[TopicPartition, Mark],
) -> Batch:
    """`begins` are the offsets at which the last batch of each partition ended."""
    spans = {at: Span(begins[at], mark.next_offset) for at, mark in marks.items()}
    return Batch(changes, spans, marks)


def without(batch: Batch, rejected: Rejected) -> Batch:
    """The batch less what was refused; smaller each time, so that the loop around it ends."""
    refused = {id(change) for change, _ in rejected.refused}
    left = [change for change in batch.changes if id(change) not in refused]
    if len(left) == len(batch.changes):
        raise AssertionError("the sink refused changes that were not in the batch")
    return Batch(left, batch.spans, batch.marks)


def letters(rejected: Rejected) -> list[DeadLetter]:
    """What was refused, with the sink's reason for each."""
    return [
        DeadLetter(change.record, reason, change.table, change.position)
        for change, reason in rejected.refused
    ]
