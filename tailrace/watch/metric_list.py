"""Every metric that tailrace exposes. docs/metrics.md, alerts and dashboards are held to it."""

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Described(NamedTuple):
    """A metric: `meaning` is a sentence for people, `labels` those that tell its series apart."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...]


WORKER = ("sink", "worker")
SINK = ("pipeline", "sink")

OF_THE_DAEMON = (
    Described(
        "tailrace_records_received_total",
        "counter",
        "records",
        "Polled from Kafka and settled.",
        WORKER,
    ),
    Described(
        "tailrace_records_ended_total",
        "counter",
        "records",
        "How each of them ended, by the label `as`; their sum is what was received.",
        (*WORKER, "as"),
    ),
    Described("tailrace_batches_total", "counter", "batches", "Durable in the sink.", WORKER),
    Described(
        "tailrace_held_total",
        "counter",
        "attempts",
        "Times a batch could not be applied and had to wait.",
        WORKER,
    ),
    Described(
        "tailrace_redis_failures_total",
        "counter",
        "failures",
        "Times the idempotency keys could not be reached.",
        WORKER,
    ),
    Described("tailrace_worker_up", "gauge", "0 or 1", "Whether its process runs.", WORKER),
    Described(
        "tailrace_blocked",
        "gauge",
        "0 or 1",
        "Whether a batch waits now; /readyz says for what.",
        WORKER,
    ),
    Described(
        "tailrace_partitions",
        "gauge",
        "partitions",
        "Owned now. 0 for long: no topic, or more workers than partitions.",
        WORKER,
    ),
    Described(
        "tailrace_apply_seconds",
        "histogram",
        "seconds",
        "From polled to durable in the sink, of each batch.",
        WORKER,
    ),
    Described(
        "tailrace_commit_to_applied_seconds",
        "histogram",
        "seconds",
        "From the commit in the source to durable in the sink, of the change in the middle of each"
        " batch. Snapshot rows are left out; below 0, when clocks differ, counts as 0.",
        WORKER,
    ),
)

OF_THE_PIPELINE = (
    Described(
        "tailrace_pipeline_state",
        "gauge",
        "0 or 1",
        "1 for the state that the pipeline is in, 0 for every other.",
        ("pipeline", "state"),
    ),
    Described(
        "tailrace_source_state",
        "gauge",
        "0 or 1",
        "The same of the way from the source into Kafka.",
        ("pipeline", "state"),
    ),
    Described("tailrace_sink_state", "gauge", "0 or 1", "The same of a sink.", (*SINK, "state")),
    Described(
        "tailrace_lag_seconds",
        "gauge",
        "seconds",
        "Age of the oldest change that the sink has not applied.",
        SINK,
    ),
    Described(
        "tailrace_lag_records",
        "gauge",
        "records",
        "In Kafka, and not applied by the sink.",
        SINK,
    ),
    Described(
        "tailrace_stage_seconds",
        "gauge",
        "seconds",
        "A typical change's time in each stage of its way, put right for clocks that differ.",
        (*SINK, "stage"),
    ),
    Described(
        "tailrace_parked_open",
        "gauge",
        "records",
        "Among the dead letters, and neither applied nor given up.",
        SINK,
    ),
    Described(
        "tailrace_sagas_parked",
        "gauge",
        "sagas",
        "That only a person or the supervisor moves on, in the sink's database.",
        SINK,
    ),
    Described(
        "tailrace_sagas_overdue",
        "gauge",
        "sagas",
        "More than a minute late: no orchestrator's timers look at them.",
        SINK,
    ),
    Described(
        "tailrace_proposals_waiting",
        "gauge",
        "proposals",
        "That the supervisor carries out once somebody approves, in the sink's database.",
        SINK,
    ),
    Described(
        "tailrace_log_breaks",
        "gauge",
        "breaks",
        "Where the log of sagas is not as it was written, in the last round through it.",
        SINK,
    ),
    Described(
        "tailrace_heartbeat_age_seconds",
        "gauge",
        "seconds",
        "Of the newest heartbeat in Kafka: what was committed before it has arrived there.",
        ("pipeline",),
    ),
    Described(
        "tailrace_slot_retained_bytes",
        "gauge",
        "bytes",
        "Log that the source keeps for the slot.",
        ("pipeline",),
    ),
    Described(
        "tailrace_slot_left_bytes",
        "gauge",
        "bytes",
        "More of it until Postgres drops what the slot needs; absent without a limit.",
        ("pipeline",),
    ),
    Described(
        "tailrace_slot_left_seconds",
        "gauge",
        "seconds",
        "The same in time, at the pace at which the source writes now.",
        ("pipeline",),
    ),
    Described(
        "tailrace_clock_skew_seconds",
        "gauge",
        "seconds",
        "How far a clock is ahead of ours; absent while it is right, as far as can be told.",
        ("pipeline", "clock"),
    ),
    Described(
        "tailrace_server_up",
        "gauge",
        "0 or 1",
        "Whether the server answered the last question.",
        ("pipeline", "server"),
    ),
)

METRICS = (*OF_THE_DAEMON, *OF_THE_PIPELINE)
