"""A trace as lines for people. Nothing of it can make a terminal do anything. Pure."""

from collections.abc import Iterator

from connectors.position import lsn
from tailrace.trace.find import moment
from tailrace.trace.view import Change, Delivery, Fate, Moment, RowNow, Trace
from tailrace.trace.wanted import shown

OPS = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot row", "t": "truncate"}
LONGEST_REASON = 400
INDENT = " " * 4


def timeline(found: Trace) -> Iterator[str]:
    """Each change with its deliveries and what every sink made of it."""
    if found.found > sum(len(change.deliveries) for change in found.changes):
        yield f"The newest of {found.found:,} records; more with --last."
        yield ""
    for number, change in enumerate(found.changes):
        if number:
            yield ""
        yield from _change(change)
    if found.changes:
        for skew in found.skews:
            yield (
                f"The clock of {skew.clock} is {abs(skew.ahead_s):.2f} s"
                f" {'ahead' if skew.ahead_s > 0 else 'behind'}; its times are put right by that."
            )
    for sentence in dict.fromkeys(found.unknown):
        yield f"?  {sentence}"


def not_found(found: Trace) -> str:
    """What was searched, from when on, and what else is known."""
    where = [
        f"{each.topic}[{each.partition}] offsets {each.start} to {each.stop}"
        + (f" from {moment(each.began_at_s)} on" if each.began_at_s is not None else "")
        for each in found.searched
    ]
    where += [f"{topic} (no topic yet)" for topic in found.without_topic]
    sentence = f"No change has the {found.kind} {shown(found.what)}. Searched: {'; '.join(where)}."
    return f"{sentence} {found.hint}" if found.hint else sentence


def _change(change: Change) -> Iterator[str]:
    key = "no key" if change.key is None else f"key {shown(change.key)}"
    if change.unreadable is not None:
        yield f"unreadable record, {key}: {shown(change.unreadable, LONGEST_REASON)}"
    else:
        yield f"{OPS.get(change.op or '', '?')} of {change.table}, {key}"
        transaction = "" if change.transaction is None else f", transaction {change.transaction}"
        at = "?" if change.lsn is None else lsn(change.lsn)
        yield f"event {change.id}, LSN {at}{transaction}"
    for name, text in (("before", change.before), ("after", change.after)):
        if text is not None:
            yield f"{INDENT}{name:<17}{text}"
    for delivery in change.deliveries:
        yield from _delivery(delivery)
    for row in change.rows:
        yield from _row(row)


def _delivery(delivery: Delivery) -> Iterator[str]:
    repeat = "" if delivery.repeat_of is None else f", duplicate of offset {delivery.repeat_of}"
    yield f"  {delivery.topic}[{delivery.partition}] offset {delivery.offset}{repeat}"
    yield from map(_moment, delivery.moments)
    for fate in delivery.fates:
        yield from _fate(fate)


def _moment(step: Moment) -> str:
    at = "?" if step.at_s is None else moment(step.at_s)
    after = "" if step.after_s is None else f"{f'+{step.after_s:.3f} s':>12}"
    skewed = "  the clocks differ" if step.is_skewed else ""
    return f"{INDENT}{step.name:<17}{at:<26}{after}{skewed}".rstrip()


def _fate(fate: Fate) -> Iterator[str]:
    reached = f"it wants offset {fate.next_offset} next"
    line = {
        "not reached": f"not reached yet: {reached}",
        "settled": "settled",
        "parked": "parked among the dead letters",
        "unknown": f"? {fate.why}",
    }[fate.state]
    yield f"  sink {fate.sink}: {line}"
    for letter in fate.letters:
        since = f" ({letter.outcome} since)" if letter.outcome else ""
        yield f"{INDENT}letter {letter.number}: {shown(letter.reason, LONGEST_REASON)}{since}"
    yield from map(_moment, fate.moments)
    if fate.batch is not None:
        ended = ", ".join(f"{count:,} {name}" for name, count in fate.batch.ended.items())
        records = f"{fate.batch.records:,} record{'s' if fate.batch.records != 1 else ''}"
        yield f"{INDENT}in a batch of {records}: {ended} (worker {fate.batch.worker})"
    if fate.state != "unknown" and fate.why:
        yield f"{INDENT}times are not known: {fate.why}"


def _row(row: RowNow) -> Iterator[str]:
    state = f"? {row.why}" if row.state == "unknown" else row.state
    at = f" ({lsn(row.lsn)})" if row.lsn is not None and row.state != "shows it" else ""
    subject = "the row" if row.state.startswith(("shows", "is", "unknown")) else "the row was"
    yield f"  sink {row.sink}: {subject} {state}{at}"
