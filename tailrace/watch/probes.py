"""
One thread a server, so that a silent one hides nothing of the others; each keeps the newest answer.

An answer has its own time: whoever reads it judges whether it is still news.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx
import msgspec
import redis

from connectors.hints import first_line
from consumer.metrics import Status
from tailrace.asking import ANSWER_WITHIN_S, CONNECT_WITHIN_S, Away
from tailrace.config import Pipeline

Connection = TypeVar("Connection")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Seen(Generic[Answer]):
    """An answer, and when the question was put and answered, in seconds since 1970."""

    answer: Answer
    asked_at_s: float
    answered_at_s: float


class Probe(Generic[Connection, Answer]):
    """
    Asks one server every `interval_s`, over one connection for as long as that holds.

    `seen` is the newest answer, None before the first; `away` why the last question had none;
    `cost_s` the processor's time from the question before to the end of the last, of this thread
    and of what else works for the connection, which `spent_s` tells.
    """

    def __init__(
        self,
        name: str,
        open_: Callable[[], AbstractContextManager[Connection]],
        look: Callable[[Connection], Answer],
        interval_s: float,
        spent_s: Callable[[Connection], float] = lambda _: 0.0,
    ) -> None:
        self.name = name
        self.seen: Seen[Answer] | None = None
        self.away: str | None = None
        self.cost_s = 0.0
        self._open = open_
        self._look = look
        self._spent_s = spent_s
        self.interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks no more; does not wait for a question that is under way."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._open() as connection:
                    self._ask(connection)
            except Away as away:
                self.away = away.sentence
            except Exception as error:  # a probe must not end without a word
                self.away = f"{self.name} could not be asked ({type(error).__name__}: {error})."
            self._ended.wait(self.interval_s)

    def _ask(self, connection: Connection) -> None:
        before_s = time.thread_time() + self._spent_s(connection)
        while not self._ended.is_set():
            asked_at_s = time.time()
            again_at_s = time.monotonic() + self.interval_s  # no clock that may be set back
            answer = self._look(connection)
            self.seen = Seen(answer, asked_at_s, time.time())
            self.away = None
            spent_s = time.thread_time() + self._spent_s(connection)
            self.cost_s, before_s = spent_s - before_s, spent_s
            self._ended.wait(max(0.0, again_at_s - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Connector:
    """Its state, and its tasks' names and states with the cause of a failure in a line."""

    state: str
    tasks: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class ConnectAnswer:
    """All connectors by their names; `date_s` is Connect's clock, cut to whole seconds."""

    connectors: Mapping[str, Connector]
    date_s: float | None


@contextmanager
def http(url: str, what: str) -> Iterator[httpx.Client]:
    """A client of a server that answers in JSON. Raises Away."""
    timeout = httpx.Timeout(ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S)
    try:
        with httpx.Client(base_url=url, timeout=timeout) as client:
            yield client
    except (httpx.HTTPError, msgspec.MsgspecError, KeyError, TypeError) as error:
        shown = httpx.URL(url).copy_with(userinfo=b"")
        raise Away(f"{what} at {shown} does not answer ({type(error).__name__}).") from error


def look_at_connect(client: httpx.Client) -> ConnectAnswer:
    """Raises httpx.HTTPError, which `http` makes an Away."""
    answer = client.get("/connectors?expand=status")
    answer.raise_for_status()
    found = msgspec.json.decode(answer.content)
    connectors = {name: _connector(of["status"]) for name, of in found.items()}
    return ConnectAnswer(connectors, _date_s(answer))


def _connector(status: Mapping[str, Any]) -> Connector:
    tasks = (
        (f"task {task['id']}", task["state"], first_line(task.get("trace", "")))
        for task in status["tasks"]
    )
    return Connector(status["connector"]["state"], tuple(tasks))


@dataclass(frozen=True, slots=True)
class WorkersAnswer:
    """
    What answered at one address: its workers' statuses, or why there are none; `date_s` is its
    clock, cut to whole seconds.
    """

    where: str
    statuses: tuple[Status, ...]
    away: str | None = None
    date_s: float | None = None


def worker_urls(pipeline: Pipeline) -> tuple[str, ...]:
    """Where the daemons of a pipeline answer."""
    health = pipeline.health
    return pipeline.dashboard.workers or (f"http://{health.host}:{health.port}",)


def look_at_workers(client: httpx.Client, urls: Sequence[str]) -> list[WorkersAnswer]:
    """Each URL is asked at every address that its host's name stands for."""
    return [_workers_at(client, each) for url in urls for each in addresses(httpx.URL(url))]


def addresses(url: httpx.URL) -> list[httpx.URL]:
    """The URL with each address that its host's name stands for, in the place of the name."""
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except OSError:
        return [url]  # asking it will tell
    hosts = {str(address[0]) for _, _, _, _, address in found}
    if "127.0.0.1" in hosts:
        hosts.discard("::1")
    return [url.copy_with(host=host) for host in sorted(hosts)]


def _workers_at(client: httpx.Client, url: httpx.URL) -> WorkersAnswer:
    where = f"{url.host}:{url.port}"
    if url.port == 0:
        free = "the daemon answers at a free port (health.port is 0), which is not known here"
        return WorkersAnswer(where, (), f"{free}: give it a port")
    try:
        answer = client.get(url.join("/status.json"))
        answer.raise_for_status()
        statuses = msgspec.json.decode(answer.content, type=list[Status])
        return WorkersAnswer(where, tuple(statuses), date_s=_date_s(answer))
    except (httpx.HTTPError, msgspec.MsgspecError) as error:
        return WorkersAnswer(where, (), f"no worker answers at {where} ({type(error).__name__})")


def _date_s(answer: httpx.Response) -> float | None:
    date = answer.headers.get("date")
    return parsedate_to_datetime(date).timestamp() if date else None


@contextmanager
def keys(url: str) -> Iterator[redis.Redis]:
    """Redis, where the idempotency keys are. Raises Away."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=CONNECT_WITHIN_S,
        retry=None,
    )
    try:
        with client:
            yield client
    except redis.RedisError as error:
        raise Away(
            f"Redis does not answer ({type(error).__name__}): no repeat is dropped."
        ) from error


def look_at_keys(client: redis.Redis) -> Mapping[str, Any]:
    """What Redis says of its memory. Raises redis.RedisError, which `keys` makes an Away."""
    found: Mapping[str, Any] = client.info("memory")
    return found
