"""What every command prints with --json is what docs/schemas says, on a real pipeline."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import psycopg
from click.testing import CliRunner

from devstack import AnyStack
from eventstore.store import NEW, append, create_schema
from examples.bank.events import Deposited, contracts
from tailrace.cli import app
from tailrace.demo import Story, figures
from tailrace.harness import topics
from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import eventually
from tailrace.schemas import OUTPUTS, schema

DDL = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, 'old' FROM generate_series(1, 5) AS i;
"""
ELSEWHERE = {
    "events check",
    "events outbox-prune",
    "projections compare",
    "projections list",
    "sagas check",
    "supervise approve",
    "supervise judge",
    "supervise list",
    "supervise log verify",
    "supervise proposals",
    "supervise reject",
    "supervise rung",
    "supervise show",
    "supervise sweep",
}
"""In tests of their own, by `printed` or as it does it."""


def printed(command: str, text: str) -> Any:
    found = json.loads(text)
    jsonschema.validate(found, schema(OUTPUTS[command]))
    return found


def run(command: str, *words: str) -> Any:
    """In this process, since starting one for each takes longer than all that they do."""
    runner = CliRunner(mix_stderr=False)
    done = runner.invoke(app, [*command.split(), *words, "--json"])
    assert done.stdout, (command, done.exception, done.stderr)
    return printed(command, done.stdout)


def check_events(check: Callable[..., Any], dsn: str) -> None:
    with psycopg.connect(dsn) as source:
        create_schema(source)
        append(source, contracts, "account-1", [Deposited(amount_cents=1)], expected=NEW)
    assert check("events history", "account-1")["events"]
    assert check("events at", "account-1")["state"]
    assert check("events diff", "account-1", "--from", "0")["changes"]
    assert check("events seal")["events"] == 1
    assert check("events verify")["ok"]
    check("events forget", "nobody", "--reason", "a test", "--yes")


def test_every_command_prints_what_its_schema_says(
    cdc: Callable[..., Cdc], stack: AnyStack
) -> None:
    shop = cdc(DDL, ["public.orders"], watch_effects=False)
    seen = {"demo"} | ELSEWHERE
    printed("demo", json.dumps(figures(Story())))

    def check(command: str, *words: str) -> Any:
        seen.add(command)
        return run(command, *words, "--config", str(shop.file))

    assert check("schema plan")["mirror"]
    assert check("connector plan")["changes"]
    shop.register()
    daemon = shop.start_daemon()
    shop.sql("INSERT INTO orders VALUES (42, 'here')")
    topics.produce(shop.brokers, shop.topic("public.orders"), [(0, b'{"id":9}', b"no JSON")] * 2)
    shop.wait_applied()
    eventually(shop.parked, 30, "a dead letter")

    check_events(check, shop.source_dsn)
    assert check("trace", "42")["changes"][0]["deliveries"][0]["fates"]
    assert check("trace", "42", "--values")["changes"][0]["after"]
    assert check("trace", "9")["changes"][0]["unreadable"]
    assert check("trace", "777")["changes"] == []
    check("parked list")
    assert check("parked list", "--group")
    assert check("parked show", "mirror", "0")["number"] == 0
    check("parked redrive", "mirror", "--all", "--dry-run")
    check("parked discard", "mirror", "0", "--reason", "a test", "--yes")
    assert check("actions")["actions"]
    assert check("config show")["pipeline"] == shop.name
    assert check("config show", "--origin")["pipeline"]["origin"]
    assert check("connector status")["parts"]
    assert check("doctor")["checks"]
    assert check("lag")["sinks"]
    check("top", "--for", "1")
    assert check("verify")["mirror"]
    shop.sink.sql("UPDATE orders SET note = 'wrong' WHERE id = 1")
    assert check("verify")["mirror"][0]["differences"]
    daemon.stop()
    away = {"TAILRACE__KAFKA__BOOTSTRAP": "127.0.0.1:1", "TAILRACE__CONNECT__URL": "http://[::1]:1"}
    for command, *words in (["lag"], ["doctor"], ["top", "--for", "1"]):
        # In a process of its own: what waits for an answer in vain ends with it.
        assert printed(command, shop.command(command, *words, "--json", **away).stdout)
    assert run("stack status", "--folder", str(stack.folder))
    assert run("stack up", "--folder", str(stack.folder))["kafka"]
    assert seen | {"stack status", "stack up"} == set(OUTPUTS)
