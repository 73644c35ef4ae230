import json
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import httpx
import pytest

from connectors import lifecycle
from connectors.errors import ConnectorError
from connectors.hints import first_line, hint
from connectors.lifecycle import wait_running
from connectors.register import refuse_settings
from connectors.rest import Connect
from tests.unit.connectors.builders import spec

Handler = Callable[[httpx.Request], httpx.Response]


def connect(
    *answers: httpx.Response | Exception,
    seen: list[httpx.Request] | None = None,
    patience_s: float = 60,
) -> Connect:
    """A client whose requests get these answers, one after the other; the last one for ever."""
    left: Iterator[httpx.Response | Exception] = iter(answers)
    last = answers[-1]

    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        given = next(left, last)
        if isinstance(given, Exception):
            raise given
        return given

    transport = httpx.MockTransport(answer)
    return Connect(
        "http://user:secret@connect:8083",
        patience_s=patience_s,
        transport=transport,
        pause=lambda _: None,
    )


def ok(body: object) -> httpx.Response:
    return httpx.Response(200, json=body)


def test_a_rebalance_is_waited_out() -> None:
    seen: list[httpx.Request] = []
    busy = httpx.Response(409, json={"message": "rebalance"})
    connect(busy, busy, ok({}), seen=seen).put("shop", {"a": "1"})
    assert len(seen) == 3
    assert json.loads(seen[-1].content) == {"a": "1"}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(409, json={"message": "rebalance\nmore"}), "TR-CON-007"),
        (httpx.Response(500, json={"message": "Request timed out"}), "TR-CON-009"),
        (httpx.Response(404, json={"message": "no such"}), "TR-CON-006"),
        (httpx.Response(400, text="<html>"), "TR-CON-009"),
        (httpx.ConnectError("refused"), "TR-CON-001"),
        (httpx.ReadTimeout("slow"), "TR-CON-001"),
    ],
)
def test_every_failure_has_a_code(answer: httpx.Response | Exception, code: str) -> None:
    with pytest.raises(ConnectorError) as failed:
        connect(answer, patience_s=0.001).pause("shop")
    assert failed.value.code == code
    assert "secret" not in failed.value.sentence
    assert "\n" not in failed.value.sentence


@pytest.mark.parametrize("body", [{"name": "a proxy"}, [], "hello"])
def test_what_is_not_connect(body: object) -> None:
    with pytest.raises(ConnectorError, match="is not Kafka Connect"):
        connect(ok(body)).version()


def test_an_unknown_connector_has_no_settings() -> None:
    assert connect(httpx.Response(404, json={"message": "x"})).config("shop") is None


def test_names_are_quoted_in_paths() -> None:
    seen: list[httpx.Request] = []
    connect(ok({}), seen=seen).config("a/b?c")
    assert seen[0].url.raw_path == b"/connectors/a%2Fb%3Fc/config"


def test_refused_settings_are_mapped_to_the_source_s_codes() -> None:
    said = 'FATAL: password authentication failed for user "cdc"'
    with pytest.raises(ConnectorError) as refused:
        refuse_settings(spec(), {"database.hostname": said})
    assert refused.value.code == "TR-SRC-002"
    with pytest.raises(ConnectorError, match=r"max\.batch\.size .* \(1 more\)") as refused:
        refuse_settings(spec(), {"max.batch.size": "must be positive", "x": "y"})
    assert refused.value.code == "TR-CON-003"
    refuse_settings(spec(), {})


def status(connector: str, *tasks: str, trace: str = "") -> httpx.Response:
    return ok(
        {
            "connector": {"state": connector},
            "tasks": [{"id": i, "state": s, "trace": trace} for i, s in enumerate(tasks)],
        }
    )


def test_running_means_the_tasks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    said: list[str] = []
    answers = [
        httpx.Response(404, json={"message": "not yet"}),
        status("RUNNING"),
        status("RUNNING", "UNASSIGNED"),
        status("RUNNING", "RUNNING"),
    ]
    wait_running(connect(*answers), "shop", said.append)
    assert said[-1] == "connector RUNNING, task 0 RUNNING"


def test_a_connector_without_a_running_task_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "WITHIN_S", 0.0)
    with pytest.raises(ConnectorError, match="connector PAUSED, task 0 PAUSED") as late:
        wait_running(connect(status("PAUSED", "PAUSED")), "shop")
    assert late.value.code == "TR-CON-005"


TRACE = """org.apache.kafka.connect.errors.ConnectException: Error while starting
\tat io.debezium.X.start(X.java:1)
Caused by: org.postgresql.util.PSQLException: ERROR: replication slot "shop" is active for PID 7.
\tat org.postgresql.Y(Y.java:2)
"""


def test_a_failed_task_ends_the_wait_with_its_cause_and_the_next_step() -> None:
    failed = connect(status("RUNNING", "FAILED", trace=TRACE))
    with pytest.raises(ConnectorError, match="stop it, or choose another slot name") as refused:
        wait_running(failed, "shop")
    assert refused.value.code == "TR-SRC-010"
    assert 'failed: ERROR: replication slot "shop" is active for PID 7. ' in refused.value.sentence


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        (TRACE, 'ERROR: replication slot "shop" is active for PID 7'),
        ("java.lang.NullPointerException\n\tat x", "java.lang.NullPointerException"),
        ("", ""),
    ],
)
def test_first_line_of_a_trace(trace: str, line: str) -> None:
    assert first_line(trace) == line


def test_unknown_words_give_no_hint() -> None:
    assert hint("the moon is in the wrong phase") is None


@pytest.mark.parametrize("off_s", [-90, 0, 90])
def test_its_clock_is_known_from_any_answer(off_s: int) -> None:
    shown = formatdate(time.time() + off_s, usegmt=True)
    client = connect(httpx.Response(200, json=[], headers={"date": shown}))
    assert client.ahead_s is None
    client.plugins()
    assert client.ahead_s is not None
    assert abs(client.ahead_s - off_s) < 1
