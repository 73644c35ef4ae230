"""Kafka Connect and the connector: is it the right one, as shipped, and does it deliver?"""

import re
from collections.abc import Mapping

from connectors import errors, lossless
from connectors.operate import beat_finding, class_finding, task_findings
from connectors.plan import Change
from connectors.register import diff, plugin_findings
from connectors.render import render
from tailrace.doctor.check import (
    SNAPSHOT_ANEW,
    Check,
    Verdict,
    failed,
    ok,
    some,
    told,
    unknown,
    warning,
)
from tailrace.doctor.clock import clock
from tailrace.doctor.facts import Connect, Delivery

OLDEST_DEBEZIUM = (3, 7)
APPLY = "tailrace connector apply"
PLACEHOLDER = "unavailable.value.placeholder"
NOT_THERE = "There is no connector yet."

# These change how fast it goes; all others, what arrives and whether it arrives.
_TUNING = re.compile(
    r"poll\.interval|max\.(batch|queue)|linger|compression|retr(y|ies)|retriable|topic\.creation"
)


def plugin(connect: Connect) -> list[Verdict]:
    """Debezium, and the wrapper that keeps it from losing changes."""
    copy = f"cp {lossless.JAR.name} PLUGIN_PATH/debezium-connector-postgres/; then restart them"
    if missing := told(plugin_findings(connect.spec, connect.plugins), fix=copy):
        return missing
    version = connect.plugins.get(lossless.PLAIN_CLASS, "")
    if _numbers(version) < OLDEST_DEBEZIUM:
        return [
            failed(
                f"The workers have Debezium {version or 'of no known version'}, which loses changes"
                " that share a position: install 3.7 or later on every one and restart them.",
                "ls PLUGIN_PATH; then unpack the newer plugin archive there, and restart them",
            )
        ]
    return [ok(f"Debezium {version} with tailrace-lossless")]


def address(connect: Connect) -> list[Verdict]:
    """Whoever reaches Connect's REST interface may run code on its workers."""
    if connect.public_hosts and not connect.is_guarded:
        return [
            warning(
                f"Connect answers without a login at {some(connect.public_hosts)}, a public"
                " address: bind `listeners` to a private one, or put a proxy with a login before.",
                "listeners=http://127.0.0.1:8083 in every worker's properties; then restart them",
            )
        ]
    return [ok("not on a public address" if not connect.public_hosts else "behind TLS or a login")]


def mode(connect: Connect) -> list[Verdict]:
    """Connect's exactly-once mode is one of its workers, not of a connector."""
    if not connect.spec.exactly_once:
        return [ok("not asked for")]
    if connect.refuses_mode:
        return [
            failed(
                "`connect.exactly_once` is set, but the workers do not do it"
                f" ({connect.refuses_mode.rstrip('.')}).",
                "exactly.once.source.support=enabled in every worker's properties; then restart",
            )
        ]
    return [ok("the workers do it")]


def connector(connect: Connect) -> list[Verdict]:
    """It is known to Connect."""
    if connect.running is None:
        return [failed(f"Connect knows no connector {connect.spec.name}.", APPLY)]
    return [ok(connect.spec.name)]


def tasks(connect: Connect) -> list[Verdict]:
    """A connector is judged by its tasks: it says RUNNING while its only one has failed."""
    if connect.running is None:
        return [unknown(NOT_THERE)]
    troubles = [
        failed(verdict.sentence, "tailrace connector restart")
        for verdict in told(task_findings([*connect.states]))
    ]
    for state in sorted({state for _, state, _ in connect.states} - {"RUNNING", "FAILED"}):
        parts = some([part for part, its, _ in connect.states if its == state])
        waits = state in ("PAUSED", "STOPPED")
        what = "changes wait in the slot" if waits else "look again in a minute"
        fix = "tailrace connector resume" if waits else "tailrace connector status"
        troubles.append(failed(f"{state}: {parts}; {what}.", fix))
    if not troubles and len(connect.states) < 2:
        troubles.append(failed("The connector has no task.", "tailrace connector restart"))
    return troubles or [ok(f"{len(connect.states) - 1} RUNNING, and the connector")]


def wrapper(connect: Connect) -> list[Verdict]:
    """Plain Debezium loses changes on restarts."""
    if connect.running is None:
        return [unknown(NOT_THERE)]
    found = class_finding(connect.spec, connect.running.get("connector.class", ""))
    return [failed(v.sentence, APPLY) for v in told(found)] or [ok("the lossless class runs")]


def settings(connect: Connect) -> list[Verdict]:
    """As shipped in connectors/source.json, filled in from the file."""
    if connect.running is None:
        return [unknown(NOT_THERE)]
    drift = _drift(connect, connect.running)
    if not drift:
        return [ok(f"{len(connect.running)} as shipped")]
    differ = [
        f"{change.subject.split()[1]} is {change.before or 'not set'}, not"
        f" {change.after or 'left out'}"
        for change in drift
    ]
    verdict = warning if all(_TUNING.search(change.subject) for change in drift) else failed
    return [verdict(f"Settings differ from ours: {some(differ)}.", APPLY)]


def placeholder(connect: Connect) -> list[Verdict]:
    """A sink that knows another one takes it for a value and overwrites a large column."""
    if connect.running is None:
        return [unknown(NOT_THERE)]
    if connect.running.get(PLACEHOLDER) == connect.spec.placeholder:
        return [ok("the connector's is the file's")]
    return [
        failed(
            "The connector stands in for unchanged large values with another placeholder than the"
            " file's, so sinks would store it as a value. Stop the workers, set"
            " `source.placeholder` back to what the connector has, and verify.",
            # Not the value itself: who knows it could store it as a value.
            f"curl -s {connect.spec.connect_url}/connectors/{connect.spec.name}/config",
        )
    ]


def position(delivery: Delivery) -> list[Verdict]:
    """Does the source still have everything from where the connector goes on?"""
    return told(delivery.gaps, fix=SNAPSHOT_ANEW) or [
        ok("nothing is missing between slot and connector")
    ]


def heartbeat(delivery: Delivery) -> list[Verdict]:
    """RUNNING is not health: a connector can retry one value for ever."""
    if not delivery.is_running:
        return [unknown("The connector is not running.")]
    age_ms = delivery.beat_age_ms
    fix = "tailrace connector restart"
    found = told(beat_finding(delivery.spec, age_ms), [errors.NOT_RUNNING_YET], fix)
    return found or [ok(f"{(age_ms or 0) / 1000:.1f} s ago")]


def _drift(connect: Connect, running: Mapping[str, str]) -> list[Change]:
    """Without what has a check of its own."""
    apart = ("connector.class", PLACEHOLDER)
    changes = diff(connect.spec.name, running, render(connect.spec))
    return [change for change in changes if change.subject.split()[1] not in apart]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


CHECKS = (
    Check("plugin", ("connect",), plugin),
    Check("address", ("connect",), address),
    Check("exactly once", ("connect",), mode),
    Check("clock", ("connect",), clock),
    Check("connector", ("connect",), connector),
    Check("tasks", ("connect",), tasks),
    Check("lossless", ("connect",), wrapper),
    Check("settings", ("connect",), settings),
    Check("placeholder", ("connect",), placeholder),
    Check("position", ("delivery",), position),
    Check("heartbeat", ("delivery",), heartbeat),
)
