"""Values -> HTML: the templates, and the small pictures that are drawn in them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from connectors.position import lsn
from tailrace.watch import view, words
from tailrace.watch.states import State, Verdict

SHAPES = {
    State.FAILED: "✖",
    State.BLOCKED: "⊘",
    State.REWOUND: "◀",
    State.STOPPED: "■",
    State.STALLED: "◼",
    State.UNKNOWN: "?",
    State.BEHIND: "▼",
    State.DEGRADED: "◐",
    State.PAUSED: "‖",
    State.SNAPSHOT: "◆",
    State.CATCHING_UP: "▲",
    State.IDLE: "○",
    State.OK: "●",
}
STAGE_MEANS = {
    "decode": "commit → read by Debezium",
    "append": "→ in Kafka",
    "wait": "→ polled by the worker",
    "sift": "→ decoded, repeats dropped",
    "apply": "→ durable in the sink",
    "book": "→ remembered and acknowledged",
}
SPARK_WIDTH, SPARK_HEIGHT = 120, 24


def level(state: State) -> str:
    """bad, warn or good: the colour that goes with the word."""
    if state.badness >= State.UNKNOWN.badness and state is not State.UNKNOWN:
        return "bad"
    if state is State.UNKNOWN:
        return "unknown"
    return "warn" if state.badness >= State.PAUSED.badness else "good"


def mark(state: State) -> Markup:
    """The state as a shape and its word."""
    return Markup('<span class="state {}"><span aria-hidden="true">{}</span> {}</span>').format(
        level(state), SHAPES[state], state.value
    )


def sentence(text: str) -> str:
    """With a capital letter in front and a full stop behind."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def clock(at_s: float | None, *, fine: bool = False) -> Markup:
    """A time of day with its date behind it; `fine`: with milliseconds."""
    if at_s is None:
        return Markup("?")
    try:
        when = datetime.fromtimestamp(at_s, UTC)
    except (ValueError, OverflowError, OSError):  # a record may claim any time
        return Markup("{:.0f} s after 1970").format(at_s)
    shown = f"{when:%H:%M:%S}" + (f".{when.microsecond // 1000:03d}" if fine else "")
    return Markup('<time datetime="{}" title="{} UTC">{} UTC</time>').format(
        when.isoformat(timespec="milliseconds"), f"{when:%Y-%m-%d %H:%M:%S}", shown
    )


def spark(values: Sequence[float | None], label: str) -> Markup:
    """A line through the values, broken where one is not known; 0 is at the bottom."""
    known = [value for value in values if value is not None]
    top = max(known, default=0.0) or 1.0
    step = SPARK_WIDTH / max(1, len(values) - 1)
    runs: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            y = SPARK_HEIGHT - 2 - value / top * (SPARK_HEIGHT - 4)
            runs[-1].append(f"{number * step:.1f},{y:.1f}")
    lines = Markup("").join(
        Markup('<polyline points="{}"/>').format(" ".join(run)) for run in runs if run
    )
    highest = words.seconds(max(known)) if known else "?"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(
        SPARK_WIDTH, SPARK_HEIGHT, f"{label}: last {len(values)} looks, at most {highest}", lines
    )


def waterfall(way: view.Waterfall) -> Markup:
    """The stages as one bar, each as wide as it is long."""
    total_s = sum(stage.seconds for stage in way.stages) or 1.0
    x, parts = 0.0, []
    for number, stage in enumerate(way.stages):
        width = stage.seconds / total_s * 600
        parts.append(
            Markup(
                '<rect class="stage-{}" x="{}" width="{}" y="0" height="26">'
                "<title>{} {}</title></rect>"
            ).format(
                number,
                f"{x:.1f}",
                f"{max(width, 0.5):.1f}",
                stage.name,
                words.seconds(stage.seconds),
            )
        )
        x += width
    said = ", ".join(f"{stage.name} {words.seconds(stage.seconds)}" for stage in way.stages)
    return Markup(
        '<svg class="waterfall" viewBox="0 0 600 26" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(f"Stages: {said}", Markup("").join(parts))


def concerns(pipeline: view.Pipeline) -> list[tuple[str, Verdict]]:
    """What somebody should look at, worst first, each with where; one cause is told once."""
    found = [("source", pipeline.source.verdict)]
    found += [(f"sink {sink.name}", sink.verdict) for sink in pipeline.sinks]
    found.append(("pipeline", pipeline.verdict))
    told: dict[str, tuple[list[str], Verdict]] = {}
    for where, verdict in found:
        if verdict.state.wants_a_word:
            told.setdefault(verdict.reason, ([], verdict))[0].append(where)
    by_badness = sorted(told.values(), key=lambda each: -each[1].state.badness)
    return [(_places(where), verdict) for where, verdict in by_badness]


def _places(where: list[str]) -> str:
    """The whole pipeline repeats what one of its parts says."""
    parts = [each for each in where if each != "pipeline"]
    return " and ".join(parts or where)


def counts(pipelines: Iterable[view.Pipeline]) -> list[tuple[State, int]]:
    """How many are in each state, worst first."""
    states = [pipeline.verdict.state for pipeline in pipelines]
    return [(state, states.count(state)) for state in State if state in states]


def maybe_lsn(position: int | None) -> str:
    """As Postgres writes it."""
    return "?" if position is None else lsn(position)


def code(text: str) -> Markup:
    """What stands between backticks, as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(parts)
    )


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("tailrace.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "number": words.number,
        "rate": words.rate,
        "seconds": words.seconds,
        "span": words.span,
        "size": words.size,
        "lsn": maybe_lsn,
        "clock": clock,
        "code": code,
        "sentence": sentence,
        "mark": mark,
        "level": level,
        "spark": spark,
        "waterfall": waterfall,
        "concerns": concerns,
    }
    made.globals |= {"STAGE_MEANS": STAGE_MEANS, "SHAPES": SHAPES}
    return made


_TEMPLATES = _environment()


def render(template: str, **values: Any) -> str:
    """One of the templates, everything in it escaped."""
    return _TEMPLATES.get_template(template).render(values)
