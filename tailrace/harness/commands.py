"""The `pipeline.yaml` of a pipeline under test, and the processes that are started from it."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from devstack import Endpoints
from devstack.process import free_ports
from tailrace.config import Pipeline
from tailrace.harness.faults import Proxies
from tailrace.harness.running import Running
from tailrace.wiring import group_of, topic_of

SINK = "mirror"
COMMAND_WITHIN_S = 120.0


def write_file(
    path: Path,
    endpoints: Endpoints,
    source_dsn: str,
    target_dsn: str,
    tables: Sequence[str],
    connect: Mapping[str, Any],
) -> None:
    """The file of a pipeline that is called as the file is; `connect` are keys of that section."""
    host, _, port = endpoints.source_for_connect.rpartition(":")
    text = yaml.safe_dump(
        {
            "pipeline": path.stem,
            "source": {
                "dsn": source_dsn,
                "tables": list(tables),
                "placeholder": f"unchanged-{secrets.token_hex(8)}",
                "password_reference": f"${{file:{endpoints.secrets}:source.password}}",
                "connector_host": host,
                "connector_port": int(port),
            },
            "connect": {"url": endpoints.connect, **connect},
            "kafka": {"bootstrap": endpoints.kafka},
            "redis": {"url": endpoints.redis},
            "sinks": {SINK: {"type": "postgres", "dsn": target_dsn}},
            "health": {"port": free_ports(1)[0]},
        }
    )
    path.touch(mode=0o600)
    path.write_text(text)


class Commands:
    """
    Starts processes for one pipeline file: `tailrace` itself, or a `worker` of the user's own.

    An own worker is told where everything is by CDC_… variables (see `own_environment`).
    """

    def __init__(
        self, pipeline: Pipeline, file: Path, worker: Sequence[str] | None, proxies: Proxies
    ) -> None:
        self._pipeline = pipeline
        self._file = file
        self._worker = worker
        self._proxies = proxies
        self.running: list[Running] = []

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Running:
        """The worker of the one sink."""
        if self._worker is not None:
            words = [*self._worker, *arguments]
            return self._spawn(words, {**self.own_environment(), **environment})
        several = {"TAILRACE__HEALTH__PORT": "0"}  # else only one could have the file's port
        return self.run(["--sink", SINK, *arguments], {**several, **environment})

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Running:
        """`tailrace run` of this pipeline, past the proxies that it has."""
        words = [sys.executable, "-m", "tailrace", "run", "-c", str(self._file), *arguments]
        return self._spawn(words, {**self._overrides(), **environment})

    def command(
        self, words: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """`tailrace WORDS --config FILE`, as a script would run it: output captured."""
        return subprocess.run(
            [sys.executable, "-m", "tailrace", *words, "--config", str(self._file)],
            capture_output=True,
            text=True,
            env=os.environ | environment,
            timeout=COMMAND_WITHIN_S,
        )

    def own_environment(self) -> dict[str, str]:
        """CDC_PIPELINE (file), _KAFKA, _TOPICS (JSON), _GROUP, _TARGET (DSN), _REDIS (URL)."""
        pipeline, at = self._pipeline, self._proxies.readdressed
        topics = {table: topic_of(pipeline, table) for table in pipeline.sinks[SINK].tables}
        return {
            "CDC_PIPELINE": str(self._file),
            "CDC_KAFKA": at("kafka", pipeline.kafka.bootstrap),
            "CDC_TOPICS": json.dumps(topics),
            "CDC_GROUP": group_of(pipeline, SINK),
            "CDC_TARGET": at("sink", pipeline.sinks[SINK].dsn),
            "CDC_REDIS": at("redis", pipeline.redis.url),
        }

    def _overrides(self) -> dict[str, str]:
        """Only what goes through a proxy: a test may change the file itself."""
        pipeline = self._pipeline
        settings = {
            "TAILRACE__KAFKA__BOOTSTRAP": ("kafka", pipeline.kafka.bootstrap),
            "TAILRACE__REDIS__URL": ("redis", pipeline.redis.url),
            f"TAILRACE__SINKS__{SINK.upper()}__DSN": ("sink", pipeline.sinks[SINK].dsn),
        }
        moved = {name: self._proxies.readdressed(*each) for name, each in settings.items()}
        return {name: text for name, text in moved.items() if text != settings[name][1]}

    def _spawn(self, words: Sequence[str], environment: Mapping[str, str]) -> Running:
        log = self._file.with_name(f"{self._file.stem}-run-{len(self.running)}.log")
        with log.open("wb") as out:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | environment,
            )
        self.running.append(Running(process, log))
        return self.running[-1]
