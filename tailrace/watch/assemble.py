"""Answers of all servers -> the view of one pipeline. Pure."""

from collections.abc import Iterator

from tailrace.asking import Away
from tailrace.watch import sink_view, source_view, states, view
from tailrace.watch.answers import Answers, Memory, why_away, wrong_clocks
from tailrace.watch.probes import Seen
from tailrace.watch.states import State, Verdict


def pipeline(answers: Answers, memory: Memory, now_s: float) -> view.Pipeline:
    """What is known of it at `now_s`."""
    sinks = tuple(sink_view.look(answers, memory, name, now_s) for name in answers.topics)
    source = source_view.look(answers, memory, now_s)
    verdicts = [sink.verdict for sink in sinks]
    if source.verdict.state is not State.OK:  # else the sinks say whether anything flows
        verdicts.append(source.verdict)
    if isinstance(answers.redis, Away):
        degraded = f"{answers.redis.sentence} The sinks' own guards carry on"
        verdicts.append(Verdict(State.DEGRADED, degraded, "start it, or correct redis.url"))
    if source.budget.warning:
        verdicts.append(
            Verdict(State.DEGRADED, source.budget.warning, "`tailrace connector status`")
        )
    return view.Pipeline(
        name=answers.name,
        verdict=memory.since("pipeline", states.worst(verdicts), now_s),
        source=source,
        sinks=sinks,
        servers=tuple(_servers(answers)),
        skews=tuple(wrong_clocks(answers)),
    )


def _servers(answers: Answers) -> Iterator[view.Server]:
    for name in ("source", "connect", "kafka", "redis", "workers"):
        found = getattr(answers, name)
        seen_at_s = found.answered_at_s if isinstance(found, Seen) else None
        yield view.Server(name, why_away(found), seen_at_s)
    for name, away in answers.sinks_away.items():
        yield view.Server(f"sink {name}", away, answers.sinks_seen_at_s[name])
