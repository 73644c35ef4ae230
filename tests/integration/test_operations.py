"""What operators do to a connector is done, and logged; for commands and dashboard alike."""

from collections.abc import Callable

import pytest

from connectors.render import render
from tailrace import operations
from tailrace.actions import Actor, log_of
from tailrace.exits import Problem
from tailrace.harness.cdc import Cdc

ADA = Actor("ada", "dashboard")


def test_acts_on_a_connector_are_logged(cdc: Callable[..., Cdc]) -> None:
    pipe = cdc("CREATE TABLE orders (id int PRIMARY KEY)", ["public.orders"])
    pipe.register()
    where = (pipe.pipeline, pipe.spec, ADA)
    assert pipe.command("connector", "pause", "--reason", "disk is full").returncode == 0
    operations.resume(*where, "disk is larger")
    assert not operations.restart_failed_tasks(*where)
    with pipe.at() as at:
        at.connect.put(pipe.name, render(pipe.spec) | {"publication.name": "nobody_made_it"})
    pipe.wait_state("FAILED")
    with pytest.raises(Problem, match="publication"):
        operations.restart_failed_tasks(*where, "again")
    pipe.sql("CREATE PUBLICATION nobody_made_it FOR TABLE orders, tailrace.heartbeat")
    assert operations.restart_failed_tasks(*where, "it is there now")
    pipe.wait_state("OK")

    acts = [
        (act.actor, act.via, act.action, act.reason, act.outcome)
        for act in log_of(pipe.pipeline, pipe.spec).recent()
    ]
    failed, done = acts[1], acts[:1] + acts[2:3]
    assert failed[:4] == ("ada", "dashboard", "restart failed tasks", "again")
    assert (failed[4] or "").startswith("failed: The task 0 of")
    assert done == [
        ("ada", "dashboard", "restart failed tasks", "it is there now", "done"),
        ("ada", "dashboard", "resume", "disk is larger", "done"),
    ]
    assert acts[3][1:] == ("cli", "pause", "disk is full", "done")
