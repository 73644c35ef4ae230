"""Kafka Connect's REST interface: one method a question, every failure a ConnectorError."""

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from connectors.errors import (
    CONNECT_ABSENT,
    CONNECT_ANSWER,
    CONNECT_BUSY,
    CONNECTOR_UNKNOWN,
    ConnectorError,
)

Offset = dict[str, Any]

_PAUSE_S = 0.5


class Connect:
    """
    A client of one Connect worker; any worker of the cluster answers for all.

    409 (a rebalance, or a connector not yet in the state that is needed) and time-outs of the
    worker itself (500 and up) are tried again for `patience_s`; then TR-CON-007 or TR-CON-009.
    """

    def __init__(
        self,
        url: str,
        *,
        patience_s: float = 60,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._patience_s = patience_s
        timeout_s = min(30, patience_s)
        self._client = httpx.Client(base_url=url, timeout=timeout_s, transport=transport)
        self._shown = str(httpx.URL(url).copy_with(userinfo=b""))
        self._pause = pause
        self.ahead_s: float | None = None
        """The clock of the worker that answered last minus ours, to half a second."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def version(self) -> str:
        """The worker's version. Raises TR-CON-001 when nothing, or not Connect, answers."""
        answer = self._ask("GET", "/")
        if not isinstance(answer, dict) or "kafka_cluster_id" not in answer:
            raise ConnectorError(
                CONNECT_ABSENT,
                f"What answers at {self._shown} is not Kafka Connect: correct connect.url.",
            )
        return str(answer["version"])

    def plugins(self) -> dict[str, str]:
        """Installed connector classes with their versions."""
        return {p["class"]: p.get("version", "") for p in self._ask("GET", "/connector-plugins")}

    def refusals(self, connector_class: str, config: Mapping[str, str]) -> dict[str, str]:
        """What Connect and Debezium object to, by setting; Debezium tries to log in for this."""
        path = f"/connector-plugins/{quote(connector_class)}/config/validate"
        answer = self._ask("PUT", path, dict(config))
        return {
            item["value"]["name"]: " ".join(item["value"]["errors"])
            for item in answer["configs"]
            if item["value"]["errors"]
        }

    def config(self, name: str) -> dict[str, str] | None:
        """The settings that run, secrets as references; None when there is no such connector."""
        try:
            running: dict[str, str] = self._ask("GET", f"{_of(name)}/config")
        except ConnectorError as error:
            if error.code == CONNECTOR_UNKNOWN:
                return None
            raise
        return running

    def create_stopped(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector in state STOPPED: known to Connect, with no task yet."""
        body = {"name": name, "config": dict(config), "initial_state": "STOPPED"}
        self._ask("POST", "/connectors", body)

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Change the settings, and restart the connector if it runs."""
        self._ask("PUT", f"{_of(name)}/config", dict(config))

    def status(self, name: str) -> dict[str, Any]:
        """State of the connector and its tasks, as Connect gives it."""
        answer: dict[str, Any] = self._ask("GET", f"{_of(name)}/status")
        return answer

    def offsets(self, name: str) -> list[tuple[dict[str, Any], Offset]]:
        """The stored (source partition, source offset) pairs."""
        answer = self._ask("GET", f"{_of(name)}/offsets")
        return [(each["partition"], each["offset"]) for each in answer["offsets"]]

    def patch_offsets(self, name: str, offsets: list[tuple[dict[str, Any], Offset]]) -> None:
        """Replace stored offsets of a STOPPED connector; Connect refuses to be asked for none."""
        if offsets:
            body = {"offsets": [{"partition": p, "offset": o} for p, o in offsets]}
            self._ask("PATCH", f"{_of(name)}/offsets", body)

    def pause(self, name: str) -> None:
        """Ask for PAUSED: tasks stay, and hold the slot."""
        self._ask("PUT", f"{_of(name)}/pause")

    def resume(self, name: str) -> None:
        """Ask for RUNNING after a pause or a stop."""
        self._ask("PUT", f"{_of(name)}/resume")

    def stop(self, name: str) -> None:
        """Ask for STOPPED: tasks end."""
        self._ask("PUT", f"{_of(name)}/stop")

    def restart_task(self, name: str, number: int) -> None:
        """Restart one task, whatever its state."""
        self._ask("POST", f"{_of(name)}/tasks/{number:d}/restart")

    def delete(self, name: str) -> None:
        """Remove the connector; its stored offsets stay."""
        self._ask("DELETE", _of(name))

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        deadline = time.monotonic() + self._patience_s
        while True:
            answer = self._send(method, path, body)
            again = answer.status_code == 409 or answer.status_code >= 500
            if not again or time.monotonic() > deadline:
                return self._judge(answer, path)
            self._pause(_PAUSE_S)

    def _send(self, method: str, path: str, body: object) -> httpx.Response:
        asked_at_s = time.time()
        try:
            answer = self._client.request(method, path, json=body)
            self.ahead_s = _ahead_s(answer.headers.get("date"), (asked_at_s + time.time()) / 2)
            return answer
        except httpx.TransportError as error:
            raise ConnectorError(
                CONNECT_ABSENT,
                f"Kafka Connect does not answer at {self._shown} ({error}): start a worker, or"
                " correct connect.url.",
            ) from error

    def _judge(self, answer: httpx.Response, path: str) -> Any:
        if answer.is_success:
            return answer.json() if answer.content else None
        said = _message(answer)
        if answer.status_code == 404 and path.startswith("/connectors/"):
            raise ConnectorError(
                CONNECTOR_UNKNOWN,
                f"Connect knows no such connector ({said}): create it with connector apply.",
            )
        if answer.status_code == 409:
            raise ConnectorError(
                CONNECT_BUSY,
                f"Connect was busy for {self._patience_s:.0f} s ({said}): its workers are"
                " rebalancing or cannot reach Kafka; look at their logs and try again.",
            )
        raise ConnectorError(
            CONNECT_ANSWER,
            f"Connect answered {answer.status_code} to {answer.request.method} {path}: {said}",
        )


def _ahead_s(date: str | None, now_s: float) -> float | None:
    """A date says whole seconds: half a second more is in the middle of what it may mean."""
    return None if date is None else parsedate_to_datetime(date).timestamp() + 0.5 - now_s


def _of(name: str) -> str:
    return f"/connectors/{quote(name, safe='')}"


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"]).partition("\n")[0]
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
