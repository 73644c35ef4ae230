"""What goes wrong while tours are booked: a menu of faults, drawn by a seed."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import kafka
import redis

from connectors.rest import Connect
from devstack import AnyStack
from devstack.part import PartFailed
from tailrace.harness.waits import PAUSE
from tailrace.killpoint import VARIABLE
from tailrace.source import spec_of
from tailrace.tour import HEARS, SERVICES, Tour
from tests.tour_mail import BAD, Mail, newest

STEPS = ("polled", "advanced", "before commit", "after commit")
DUPLICATES = 30
PATIENCE = 3
STOPPED_S = (11.0, 16.0)
"""How long a zombie is stopped: longer than Kafka's session time-out."""


@dataclass
class Faults:
    """Of one tour; `done` are the words of all so far, for the one who has to repeat them."""

    tour: Tour
    stack: AnyStack
    chance: Random
    mail: Mail
    done: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    """How processes ended that nobody ended on purpose, and how often."""
    _due: list[str] = field(default_factory=list)
    _stopped: dict[int, threading.Timer] = field(default_factory=dict)
    _starting: threading.Thread | None = None

    def one(self) -> None:
        """The next fault, with what mends it begun."""
        menu = self._menu()
        if not self._due:  # each kind comes as often as its weight, in any order
            self._due = [name for name, (weight, _) in menu.items() for _ in range(weight)]
            self.chance.shuffle(self._due)
        name = self._due.pop()
        self.kinds[name] += 1
        self.done.append(f"{name} {menu[name][1]()}")

    def _menu(self) -> dict[str, tuple[int, Callable[[], str]]]:
        return {
            "kill": (7, self.kill),
            "kill several": (2, self.kill_several),
            "kill at a step": (6, self.kill_at_a_step),
            "zombie": (3, self.zombie),
            "repeat": (4, self.repeat),
            "invalid": (2, self.invalid),
            "flush": (2, self.flush),
            "rewind": (2, self.rewind),
            "redis": (1, lambda: self.server("redis")),
            "connect": (1, self.connect),
            "overtake": (1, self.overtake),
            "kafka": (1, lambda: self.server("kafka")),
            "postgres": (1, lambda: self.server("postgres-source")),
        }

    def kill(self) -> str:
        """SIGKILL; another process takes over."""
        name = self.chance.choice(SERVICES)
        self._end(name)
        self.tour.start(name)
        return name

    def kill_several(self) -> str:
        """Two to all of them at the same moment."""
        names = self.chance.sample(SERVICES, self.chance.randint(2, len(SERVICES)))
        for name in names:
            self._end(name)
        for name in names:
            self.tour.start(name)
        return " ".join(names)

    def kill_at_a_step(self) -> str:
        """The next process of a service dies there by itself; `tend` follows it up."""
        name, step = self.chance.choice(SERVICES), self.chance.choice(STEPS)
        self._end(name)
        self.tour.start(name, **{VARIABLE: f"{step}:{self.chance.randint(1, 3)}"})
        return f"{name} {step}"

    def zombie(self) -> str:
        """Stopped like a machine that hangs, while another takes over; then it wakes up."""
        name = self.chance.choice(SERVICES)
        alive = self._alive(name)
        if not alive:
            return f"{name} (none)"
        pid = alive[0]
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(self.chance.uniform(*STOPPED_S), self._wake, [pid])
        self._stopped[pid] = timer
        timer.start()
        self.tour.start(name, instance=f"{len(self.done)}")
        return name

    def repeat(self) -> str:
        """The newest records of a topic once more, in any order, as nobody may but many do."""
        name = self.chance.choice(sorted({topic for topics in HEARS.values() for topic in topics}))
        found = newest(self.mail.brokers, f"{self.tour.prefix}{name}", DUPLICATES)
        self.chance.shuffle(found)
        producer = kafka.KafkaProducer(metrics_enabled=False, **self.mail.brokers.client())
        for each in found:
            key, value, headers = each.key, each.value, each.headers
            producer.send(each.topic, value, key, headers, partition=each.partition)
        producer.close()
        return f"{name} {len(found)}"

    def invalid(self) -> str:
        """What no contract allows, in a topic."""
        return self.mail.spoil(self.chance.choice(BAD))

    def flush(self) -> str:
        """Redis forgets everything."""
        with redis.Redis.from_url(self.tour.services["tours"].pipeline.redis.url) as client:
            client.flushall()
        return ""

    def rewind(self) -> str:
        """A service reads all that it ever got once more, or the last of it."""
        name, back = self.chance.choice(SERVICES), self.chance.choice((100, 1000, 1_000_000))
        self._end(name)
        with self.tour.connect(name) as connection:
            connection.execute(
                "UPDATE tailrace.offsets SET next_offset = greatest(0, next_offset - %s)", [back]
            )
        self.tour.start(name)
        return f"{name} {back}"

    def server(self, part: str) -> str:
        """SIGKILL, some seconds without it, and back."""
        self._await_connect()
        self.stack.part(part).kill()
        PAUSE.wait(self.chance.uniform(0.2, 2))
        self._back(part)
        return part

    def connect(self) -> str:
        """SIGKILL; it comes back while other things go wrong."""
        self._await_connect()
        self.stack.part("connect").kill()
        self._starting = threading.Thread(target=self._back, args=["connect"])
        self._starting.start()
        return ""

    def overtake(self) -> str:
        """Connect dies, and what it has not read yet comes in any order before it is back."""
        self._await_connect()
        self.mail.mark()
        self.connect()
        carried = 0
        while self._starting is not None and self._starting.is_alive():
            carried += self.mail.carry(self.chance)
            PAUSE.wait(0.3)
        return f"{carried} messages"

    def tend(self) -> None:
        """Every service has a process that runs, or has just been stopped."""
        for process in list(self.tour.running):
            if (code := process.poll()) is not None:
                self.tour.running.remove(process)
                self.exits[code] += 1
        for name in SERVICES:
            if not self._alive(name):
                self.tour.start(name)

    def mend(self) -> None:
        """Nothing is wrong any more."""
        for timer in list(self._stopped.values()):
            timer.join()
        self._await_connect()
        self.tend()
        self.restart_tasks()

    def restart_tasks(self) -> None:
        """As a person does who sees it: Debezium gives up where Postgres dies while it connects."""
        for service in self.tour.services.values():
            spec = spec_of(service.pipeline)
            with Connect(spec.connect_url) as connect:
                for task in connect.status(spec.name)["tasks"]:
                    if task["state"] == "FAILED":
                        connect.restart_task(spec.name, task["id"])
                        self.kinds["(a connector was restarted by hand)"] += 1

    def end(self) -> None:
        """As at once as can be: the run is over."""
        for pid, timer in list(self._stopped.items()):
            timer.cancel()
            self._wake(pid)
        self._await_connect()

    def kill_all(self) -> None:
        """No service runs."""
        for name in SERVICES:
            self._end(name)

    def _wake(self, pid: int) -> None:
        os.kill(pid, signal.SIGCONT)
        self._stopped.pop(pid, None)

    def _back(self, part: str) -> None:
        """However long it takes on a busy machine."""
        for _ in range(PATIENCE):
            with suppress(PartFailed):
                return self.stack.part(part).start()
        return self.stack.part(part).start()

    def _await_connect(self) -> None:
        if self._starting is not None:
            self._starting.join()

    def _alive(self, name: str) -> list[int]:
        return [
            process.pid
            for process in self.tour.running
            if self.tour.named[process.pid] == name
            and process.pid not in self._stopped
            and process.poll() is None
        ]

    def _end(self, name: str) -> None:
        alive = self._alive(name)
        ended: list[Any] = [each for each in self.tour.running if each.pid in alive]
        for process in ended:
            process.kill()
            process.wait()
            self.tour.running.remove(process)
