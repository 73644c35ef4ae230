"""What goes wrong while tours are booked: a menu of faults, drawn by a seed."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import kafka
import psycopg
import redis

from devstack import AnyStack
from tailrace.harness.topics import records
from tailrace.harness.waits import PAUSE
from tailrace.killpoint import VARIABLE
from tailrace.tour import SERVICES, Tour

STEPS = ("polled", "advanced", "before commit", "after commit")
DUPLICATES = 30


@dataclass
class Faults:
    """Of one tour; `done` are the words of all so far, for the one who has to repeat them."""

    tour: Tour
    stack: AnyStack
    chance: Random
    done: list[str] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)

    def one(self) -> None:
        """The next fault, with what mends it begun."""
        menu: dict[str, tuple[int, Callable[[], str]]] = {
            "kill": (8, self.kill),
            "kill at a step": (6, self.kill_at_a_step),
            "zombie": (3, self.zombie),
            "repeat": (4, self.repeat),
            "flush": (2, self.flush),
            "rewind": (2, self.rewind),
            "connect": (1, lambda: self.server("connect")),
            "kafka": (1, lambda: self.server("kafka")),
            "postgres": (1, lambda: self.server("postgres-source")),
        }
        weights = [weight for weight, _ in menu.values()]
        name = self.chance.choices(list(menu), weights)[0]
        self.done.append(f"{name} {menu[name][1]()}")

    def kill(self) -> str:
        """SIGKILL; another process takes over."""
        name = self.chance.choice(SERVICES)
        self._end(name)
        self.tour.start(name)
        return name

    def kill_at_a_step(self) -> str:
        """The next process of a service dies there by itself, and is followed by one that lives."""
        name, step = self.chance.choice(SERVICES), self.chance.choice(STEPS)
        self._end(name)
        dying = self.tour.start(name, **{VARIABLE: f"{step}:{self.chance.randint(1, 3)}"})
        for _ in range(100):
            if dying.poll() is not None:
                break
            PAUSE.wait(0.1)
        else:
            dying.kill()
        dying.wait()
        self.tour.start(name)
        return f"{name} {step}"

    def zombie(self) -> str:
        """Stopped like a machine that hangs, while another takes over; then it wakes up."""
        name = self.chance.choice(SERVICES)
        alive = self._alive(name)
        if not alive:
            return f"{name} (none)"
        os.kill(alive[0], signal.SIGSTOP)
        self.stopped.append(alive[0])
        self.tour.start(name, instance=f"{len(self.done)}")
        return name

    def wake(self) -> None:
        """Every zombie: it must not write any more."""
        for pid in self.stopped:
            os.kill(pid, signal.SIGCONT)
        self.stopped.clear()

    def repeat(self) -> str:
        """The newest records of a topic once more, in any order, as nobody may but many do."""
        name = self.chance.choice(SERVICES)
        topic = f"{self.tour.prefix}{name}.events"
        client = self.tour.services[name].pipeline.kafka
        found = records(client, topic)[-DUPLICATES:]
        self.chance.shuffle(found)
        producer = kafka.KafkaProducer(**client.client())
        for each in found:
            producer.send(
                topic,
                key=each.key,
                value=each.value,
                headers=each.headers,
                partition=each.partition,
            )
        producer.close()
        return f"{name} {len(found)}"

    def flush(self) -> str:
        """Redis forgets everything."""
        with redis.Redis.from_url(self.tour.services["tours"].pipeline.redis.url) as client:
            client.flushall()
        return ""

    def rewind(self) -> str:
        """A service reads all that it ever got once more."""
        name = self.chance.choice(SERVICES)
        self._end(name)
        with self.tour.connect(name) as connection:
            connection.execute("UPDATE tailrace.offsets SET next_offset = 0")
        self.tour.start(name)
        return name

    def server(self, part: str) -> str:
        """SIGKILL, some seconds without it, and back."""
        self.stack.part(part).kill()
        PAUSE.wait(self.chance.uniform(0.2, 2))
        self.stack.part(part).start()
        return part

    def heal(self) -> None:
        """Every service has a process that runs."""
        self.wake()
        for name in SERVICES:
            if not self._alive(name):
                self.tour.start(name)

    def _alive(self, name: str) -> list[int]:
        return [
            process.pid
            for process in self.tour.running
            if self.tour.named[process.pid] == name
            and process.poll() is None
            and process.pid not in self.stopped
        ]

    def _end(self, name: str) -> None:
        for process in self.tour.running:
            if process.pid in self._alive(name):
                process.kill()
                process.wait()


def parked(tour: Tour) -> int:
    """Sagas that wait for a person."""
    with psycopg.connect(tour.services["tours"].dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM sagas.saga WHERE status IN ('PARKED', 'COMPENSATION_PARKED')"
        ).fetchone()
    assert row is not None
    return int(row[0])
