"""What goes wrong on purpose: processes that die, connections that break, records that repeat."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import kafka
import redis
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from psycopg.conninfo import conninfo_to_dict

from connectors.catalogue import read_slot
from connectors.lifecycle import wait_running
from tailrace.config import Pipeline
from tailrace.harness import topics
from tailrace.harness.proxy import Address, Proxy
from tailrace.harness.running import Running
from tailrace.harness.waits import eventually
from tailrace.killpoint import STEPS, VARIABLE

if TYPE_CHECKING:
    from tailrace.harness.chain import Chain

PARTS = ("sink", "redis", "kafka")
"""What a proxy can stand before, seen from the worker."""


class Proxies:
    """Between the worker and the servers named by `parts`, each of PARTS."""

    def __init__(self, pipeline: Pipeline, sink: str, parts: Collection[str]) -> None:
        unknown = sorted(set(parts) - set(PARTS))
        if unknown:
            raise ValueError(
                f"There is no proxy for {', '.join(unknown)}: a worker talks to {', '.join(PARTS)}."
            )
        dsn = conninfo_to_dict(pipeline.sinks[sink].dsn)
        url = urlsplit(pipeline.redis.url)
        self._servers = {
            "sink": Address(str(dsn["host"]), int(str(dsn["port"]))),
            "redis": Address(url.hostname or "127.0.0.1", url.port or 6379),
        }
        if "kafka" in parts:
            self._servers["kafka"] = _one_broker(pipeline)
        self._proxies = {
            part: Proxy(self._servers[part], rewrites=part == "kafka") for part in sorted(parts)
        }

    def of(self, part: str) -> Proxy:
        """Raises ValueError if the worker does not go through one."""
        if part not in self._proxies:
            raise ValueError(
                f"The worker does not reach {part} through a proxy: make the pipeline with"
                f" `cdc(…, proxied=[{part!r}])`; {', '.join(PARTS)} can be named there."
            )
        return self._proxies[part]

    def readdressed(self, part: str, text: str) -> str:
        """A DSN, URL or address with the proxy in the place of the server, if there is one."""
        if part not in self._proxies:
            return text
        return text.replace(str(self._servers[part]), str(self._proxies[part].address))

    def each(self, act: Callable[[Proxy], None]) -> None:
        """Do it with every one."""
        for proxy in self._proxies.values():
            act(proxy)


def _one_broker(pipeline: Pipeline) -> Address:
    """Raises ValueError where clients would find a way around the proxy."""
    admin = kafka.KafkaAdminClient(**pipeline.kafka.client())
    try:
        brokers = [(b["host"], int(b["port"])) for b in admin.describe_cluster()["brokers"]]
    finally:
        admin.close()
    shown = ", ".join(f"{host}:{port}" for host, port in brokers)
    if pipeline.kafka.tls or [shown] != [pipeline.kafka.bootstrap]:
        raise ValueError(
            f"Kafka at {pipeline.kafka.bootstrap} tells its clients to connect to {shown}: a proxy"
            " would be passed by. It works with one broker, without TLS, that calls itself as the"
            " bootstrap address does."
        )
    return Address(*brokers[0])


class _Joined(ConsumerRebalanceListener):  # type: ignore[misc]  # of an untyped package
    def __init__(self) -> None:
        self.is_done = False

    def on_partitions_revoked(self, revoked: Any) -> None:
        pass

    def on_partitions_assigned(self, assigned: Any) -> None:
        self.is_done = True


class Faults:
    """Of one pipeline; reached as `cdc.faults`."""

    def __init__(self, cdc: "Chain", proxies: Proxies) -> None:
        self._cdc = cdc
        self._proxies = proxies

    def kill_worker(self, at: str = "", hit: int = 1) -> Running:
        """
        SIGKILL the running worker now; or, with `at`, stop it and start one that dies the `hit`-th
        time it comes to that step (see STEPS): `wait_killed()` of what is returned waits for it.

        Raises ValueError for an unknown step, or when there is no worker to be killed.
        """
        alive = [each for each in self._cdc.running if each.is_alive]
        if not at:
            if not alive:
                raise ValueError("No worker is running that could be killed: `start()` one.")
            alive[-1].kill()
            return alive[-1]
        if self._cdc.worker is None and at not in STEPS:
            raise ValueError(f"A worker has no step {at!r}; its steps are {', '.join(STEPS)}.")
        for each in alive:
            each.stop()
        return self._cdc.start(**{VARIABLE: f"{at}:{hit}"})

    def cut(self, part: str) -> None:
        """Close the worker's connections to `part` (sink, redis, kafka), and refuse new ones."""
        self._proxies.of(part).cut()

    def half_open(self, part: str) -> None:
        """Connections to `part` stand, but nothing comes through, as behind a dead firewall."""
        self._proxies.of(part).silence()

    def delay(self, part: str, ms: int) -> None:
        """What the worker sends to `part` takes so much longer."""
        self._proxies.of(part).delay(ms / 1000)

    def heal(self) -> None:
        """Mend every connection."""
        self._proxies.each(Proxy.heal)

    def duplicate(self, n: int, table: str | None = None) -> int:
        """
        Send the last `n` records of the topic of `table` (of every table's) once more, each into
        its own partition, as a producer without idempotence may; how many there were.
        """
        cdc = self._cdc
        count = 0
        for topic in cdc.topics if table is None else [cdc.topic(table)]:
            found = topics.records(cdc.brokers, topic)[-n:]
            topics.produce(cdc.brokers, topic, ((r.partition, r.key, r.value) for r in found))
            count += len(found)
        return count

    def rebalance(self, within_s: float = 60.0) -> None:
        """
        Let a second member join the worker's group, which takes partitions away, and leave it.

        Raises Late if it cannot join, for instance because the worker uses another assignor.
        """
        joined = _Joined()
        with kafka.KafkaConsumer(
            group_id=self._cdc.group(),
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            metrics_enabled=False,
            **self._cdc.brokers.client(),
        ) as second:
            second.topics()  # joining before they are known may end in an assignment of none
            second.subscribe(self._cdc.topics, listener=joined)

            def has_joined() -> bool:
                second.poll(100)
                return joined.is_done

            eventually(has_joined, within_s, "a second member in the group")

    def restart_task(self) -> None:
        """Restart the connector's task by REST; returns when the new one reads the slot."""
        spec = self._cdc.spec
        with self._cdc.at() as at:

            def reader() -> int | None:
                slot = read_slot(at.source, spec.slot)
                return None if slot is None else slot.active_pid

            before = eventually(reader, what="a task that reads the slot")
            at.connect.restart_task(spec.name, 0)
            eventually(lambda: reader() not in (None, before), what="a new reader of the slot")
            wait_running(at.connect, spec.name)

    def lose_redis(self) -> int:
        """Delete every key of this pipeline; how many. `stack.part("redis").kill()` ends it."""
        with redis.Redis.from_url(self._cdc.pipeline.redis.url) as client:
            keys = list(client.scan_iter(f"*{self._cdc.group()}*"))
            return sum(int(client.delete(key)) for key in keys)
