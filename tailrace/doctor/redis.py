"""Redis: will it keep the idempotency keys it is given?"""

from tailrace.doctor.check import Check, Verdict, failed, ok, size, unknown, warning
from tailrace.doctor.facts import Redis

NEARLY_FULL = 0.9


def primary(redis: Redis) -> list[Verdict]:
    """A replica takes no keys."""
    if redis.role != "master":
        fix = "redis.url: redis://PRIMARY:6379/0"
        return [failed(f"{redis.where} is a replica and takes no keys: name its primary.", fix)]
    return [ok("takes keys")]


def eviction(redis: Redis) -> list[Verdict]:
    """Keys that vanish by themselves let repeats through; workers refuse to start so."""
    if redis.policy != "noeviction":
        return [
            failed(
                f"Redis drops keys by itself (maxmemory-policy {redis.policy}), so workers refuse"
                " to use it.",
                "CONFIG SET maxmemory-policy noeviction",
            )
        ]
    return [ok("noeviction")]


def persistence(redis: Redis) -> list[Verdict]:
    """Keys that a restart takes only cost work: the sinks' own guards drop repeats then."""
    if redis.write_error:
        said = f"Redis cannot write to its disk ({redis.write_error}) and refuses keys."
        return [failed(said, "CONFIG GET dir; make room there; then BGSAVE")]
    if redis.appends:
        return [ok("append-only file")]
    if redis.saves:
        return [ok(f"snapshots ({redis.saves})")]
    if redis.saves is None:
        return [unknown("Redis does not let us see whether it saves its keys.")]
    return [
        warning(
            "Redis keeps the keys in memory only: after its restart repeats go to the sinks.",
            "CONFIG SET appendonly yes",
        )
    ]


def memory(redis: Redis) -> list[Verdict]:
    """Full, it refuses new keys."""
    used, limit, needed = redis.used_bytes, redis.limit_bytes, redis.needed_bytes
    if not limit:
        return [ok(f"{size(used)} used, no limit; this pipeline takes up to {size(needed)}")]
    said = f"{size(used)} of {size(limit)} used"
    fix = f"CONFIG SET maxmemory {needed + limit}"
    if used > NEARLY_FULL * limit:
        return [failed(f"Redis is nearly full ({said}) and will refuse keys.", fix)]
    if needed > limit:
        return [warning(f"{said}, and this pipeline's keys take up to {size(needed)}.", fix)]
    return [ok(said)]


CHECKS = tuple(
    Check(name, ("redis",), judge)
    for name, judge in (
        ("primary", primary),
        ("eviction", eviction),
        ("persistence", persistence),
        ("memory", memory),
    )
)
