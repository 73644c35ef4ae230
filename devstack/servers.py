"""
The servers as testcontainers, for tests that want one or two of them and no whole stack.

    with Network() as network, KafkaContainer().with_network(network) as kafka:
        with ConnectContainer().with_kafka(kafka) as connect:
            connect.register("shop", {"connector.class": …})

Every port is published on 127.0.0.1 alone and chosen before the start, so that a server that was
killed and started again is where it was.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import quote

from testcontainers.core.container import DockerContainer

from devstack import probes
from devstack.endpoints import SECRETS_IN_CONTAINER
from devstack.images import image
from devstack.part import PartFailed
from devstack.process import free_ports, wait_until
from devstack.settings import (
    CONNECT,
    KAFKA,
    LOSSLESS,
    POSTGRES,
    POSTGRES_INITDB,
    REDIS,
    as_text,
)

if TYPE_CHECKING:
    import httpx
    from docker.models.containers import Container

PLUGIN = "io.tailrace.connect.LosslessPostgresConnector"
_DEBEZIUM = "/kafka/connect/debezium-connector-postgres"
_WORKER_PROPERTIES = "/kafka/config/connect-distributed.properties"
_PASSWORD = "/etc/tailrace/password"
_REDIS_CONF = "/etc/tailrace/redis.conf"
# The C1 compiler alone, and little memory: quick to start on a small machine.
_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_START_TIMEOUT_S = 120
# Settings for which the Connect image has variables without a prefix, which win.
_SHORT = (
    *("group.id", "key.converter", "value.converter", "offset.flush.interval.ms"),
    *("config.storage.topic", "offset.storage.topic", "status.storage.topic"),
)


class ServerContainer(DockerContainer):
    """One server with one published port; `start` returns once it answers."""

    inner_port: ClassVar[int]
    data: ClassVar[str | None] = None
    """Folder of its data in the container, if it has any."""

    def __init__(self, name: str, image: str, port: int | None) -> None:
        """`name`: for other containers of its network, and in messages."""
        super().__init__(image)
        self.name = name
        self.port = port or free_ports(1)[0]
        # Docker takes an address here, which testcontainers' type does not know.
        self.ports[f"{self.inner_port}/tcp"] = ("127.0.0.1", self.port)  # type: ignore[assignment]
        self.with_network_aliases(name)

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server serves requests now."""

    def start(self) -> Self:
        """Start it; raises `PartFailed` with its log when it ends or stays mute."""
        super().start()
        await_answer(self.name, self.get_wrapped_container(), self.answers)
        return self

    def create(self, name: str, network: str, labels: dict[str, str], volume: str) -> None:
        """
        Create it without starting it, outside of testcontainers' session.

        Ryuk removes what is in the session of a process that has ended; a stack stays.
        """
        client = self.get_docker_client().client
        aliases = client.api.create_endpoint_config(aliases=self._network_aliases)
        self._container = client.containers.create(
            self.image,
            self._command,
            name=name,
            labels=labels,
            environment=self.env,
            ports=self.ports,
            network=network,
            networking_config={network: aliases},
            volumes={volume: {"bind": self.data, "mode": "rw"}} if self.data else {},
        )
        for file in self._transferable_specs:
            self._transfer_into_container(*file)


class KafkaContainer(ServerContainer):
    """
    One Kafka node (KRaft) with two addresses: `bootstrap` for this machine, and for the other
    containers of its network `kafka:9092`.
    """

    inner_port = 29092
    data = "/var/lib/kafka/data"
    inside: ClassVar[str] = "kafka:9092"
    """Bootstrap server for other containers."""

    def __init__(self, image_name: str | None = None, *, port: int | None = None) -> None:
        super().__init__("kafka", image_name or image("KAFKA_IMAGE"), port)
        listeners = ("HOST", "INSIDE", "CONTROLLER")
        settings = {
            **KAFKA,
            "controller.quorum.voters": "1@localhost:9093",
            "listeners": f"INSIDE://:9092,CONTROLLER://:9093,HOST://:{self.inner_port}",
            "advertised.listeners": f"INSIDE://{self.inside},HOST://{self.bootstrap}",
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
            "inter.broker.listener.name": "INSIDE",
            "log.dirs": self.data,
        }
        self.with_envs(**_variables("KAFKA_", settings))
        self.with_envs(KAFKA_HEAP_OPTS="-Xmx256m", KAFKA_JVM_PERFORMANCE_OPTS=_JVM)

    @property
    def bootstrap(self) -> str:
        """Bootstrap server for this machine, host:port."""
        return f"127.0.0.1:{self.port}"

    def answers(self) -> bool:
        return probes.kafka(self.bootstrap)


class ConnectContainer(ServerContainer):
    """
    One Kafka Connect worker with Debezium and the lossless plugin; needs `with_kafka`.

    It is ready when REST answers and the plugin is listed. Connectors may read secrets as
    `${file:/etc/tailrace/secrets.properties:<key>}` (`with_secrets`).
    """

    inner_port = 8083

    def __init__(self, image_name: str | None = None, *, port: int | None = None) -> None:
        super().__init__("connect", image_name or image("CONNECT_IMAGE"), port)
        folder = SECRETS_IN_CONTAINER.rpartition("/")[0]
        settings = {**CONNECT, "config.providers.file.param.allowed.paths": folder}
        short = {key: value for key, value in settings.items() if key in _SHORT}
        long = {key: value for key, value in settings.items() if key not in _SHORT}
        self.with_envs(**_variables("CONNECT_", long), **_variables("", short))
        self.with_envs(HEAP_OPTS="-Xmx384m", KAFKA_JVM_PERFORMANCE_OPTS=_JVM)
        # All of it comes by variables, for which the image needs a file that it may write.
        self.with_copy_into_container(b"", _WORKER_PROPERTIES, 0o666)
        for jar in LOSSLESS.glob("*.jar"):
            self.with_copy_into_container(jar, f"{_DEBEZIUM}/{jar.name}")

    @property
    def url(self) -> str:
        """Base URL of its REST interface."""
        return f"http://127.0.0.1:{self.port}"

    def with_kafka(self, kafka: KafkaContainer) -> Self:
        """Use this broker, by the network that it is in. Raises `ValueError` if it is in none."""
        if kafka._network is None:
            raise ValueError("The KafkaContainer is in no network: give it one by with_network.")
        return self.with_network(kafka._network).with_env("BOOTSTRAP_SERVERS", kafka.inside)

    def with_secrets(self, properties: str) -> Self:
        """The text of the properties file from which connectors read secrets."""
        # The container's user is not ours and owns no file of ours: it gets a copy inside.
        return self.with_copy_into_container(properties.encode(), SECRETS_IN_CONTAINER, 0o444)

    def answers(self) -> bool:
        return probes.connect_has(self.url, PLUGIN)

    def register(self, name: str, config: Mapping[str, str], *, within_s: float = 90) -> None:
        """
        Create a connector and return once it and every task of it run.

        Raises `PartFailed` with the trace as soon as the connector or a task has failed, with
        what Connect says when it refuses the settings, or when nothing is decided in time.
        """
        import httpx

        with httpx.Client(base_url=self.url, timeout=within_s) as client:
            body = {"name": name, "config": dict(config)}
            answer = client.post("/connectors", json=body)
            if answer.is_error:
                why = f"refused the connector {name}: {answer.json().get('message', answer.text)}"
                raise PartFailed(self.name, why)
            _wait_for_tasks(client, name, within_s)


class PostgresContainer(ServerContainer):
    """A cluster that Debezium can read; user and database are both called postgres (SCRAM)."""

    inner_port = 5432
    data = "/var/lib/postgresql/data"

    def __init__(
        self,
        name: str,
        password: str,
        *,
        port: int | None = None,
        settings: Mapping[str, object] = POSTGRES,
    ) -> None:
        super().__init__(name, image("POSTGRES_IMAGE"), port)
        words = (("-c", f"{key}={value}") for key, value in settings.items())
        self.with_command(["postgres", *(word for pair in words for word in pair)])
        self.with_env("POSTGRES_PASSWORD_FILE", _PASSWORD)
        self.with_env("POSTGRES_INITDB_ARGS", " ".join(POSTGRES_INITDB))
        self.with_copy_into_container(password.encode(), _PASSWORD, 0o444)
        self.dsn = f"postgresql://postgres:{password}@127.0.0.1:{self.port}/postgres"

    def answers(self) -> bool:
        return probes.postgres(self.dsn)


class RedisContainer(ServerContainer):
    """Redis with an append-only file and a password."""

    inner_port = 6379
    data = "/data"

    def __init__(self, password: str, *, port: int | None = None) -> None:
        super().__init__("redis", image("REDIS_IMAGE"), port)
        conf = REDIS.format(password=password)
        self.with_command(["redis-server", _REDIS_CONF])
        self.with_copy_into_container(conf.encode(), _REDIS_CONF, 0o444)
        self.url = f"redis://:{password}@127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        return probes.redis(self.url)


def await_answer(name: str, container: Container, answers: Callable[[], bool]) -> None:
    """Until it answers. Raises `PartFailed` with its log when it ends or stays mute."""

    def is_decided() -> bool:
        container.reload()
        return container.status != "running" or answers()

    decided = wait_until(is_decided, _START_TIMEOUT_S, every_s=0.1)
    if container.status != "running":
        raise PartFailed(name, "ended while starting.", log_tail(container))
    if not decided:
        raise PartFailed(name, f"does not answer after {_START_TIMEOUT_S} s.", log_tail(container))


def log_tail(container: Container, lines: int = 20) -> str:
    """The last lines of what it wrote."""
    written: bytes = container.logs(tail=lines)
    return written.decode(errors="replace")


def _variables(prefix: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Settings as the images take them: `node.id` is KAFKA_NODE_ID."""
    return {
        prefix + key.upper().replace(".", "_"): as_text(value) for key, value in settings.items()
    }


def _wait_for_tasks(client: httpx.Client, name: str, within_s: float) -> None:
    """Until the connector and each of its tasks run; raises `PartFailed` if not."""
    path = f"/connectors/{quote(name, safe='')}"
    states: dict[str, str] = {}
    traces: dict[str, str] = {}

    def is_decided() -> bool:
        answer = client.get(f"{path}/status")
        if answer.is_error:  # just created, and not yet known to every part of the worker
            return False
        status = answer.json()
        parts = {"connector": status["connector"]}
        parts |= {f"task {task['id']}": task for task in status["tasks"]}
        states.update({part: told["state"] for part, told in parts.items()})
        traces.update({part: told.get("trace", "") for part, told in parts.items()})
        wanted = len(client.get(f"{path}/tasks").json())
        all_run = wanted > 0 and len(parts) == wanted + 1 and set(states.values()) == {"RUNNING"}
        return all_run or "FAILED" in states.values()

    decided = wait_until(is_decided, within_s, every_s=0.2)
    for part, state in states.items():
        if state == "FAILED":
            raise PartFailed("connect", f"runs {name}, but its {part} failed.", traces[part])
    if not decided:
        said = ", ".join(f"{part} {state}" for part, state in states.items()) or "nothing"
        raise PartFailed("connect", f"does not run {name} after {within_s:.0f} s: {said}.")
