"""
Runs inside a worker of compose.secure.yml: who is let in? A line of JSON, `ok` or the error's name.

Sent to `python -`, so it imports nothing of ours.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kafka
import psycopg
import redis

SECRETS = Path("/run/secrets")
CA = str(SECRETS / "ca.crt")


def ask_redis(url: str) -> None:
    redis.Redis.from_url(url, socket_timeout=10).ping()


def ask_postgres(dsn: str) -> None:
    psycopg.connect(dsn, connect_timeout=10).close()


def ask_kafka(password: str, protocol: str = "SASL_SSL") -> None:
    settings: dict[str, Any] = {"security_protocol": protocol, "ssl_cafile": CA}
    if protocol.startswith("SASL"):
        settings |= {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": "tailrace",
            "sasl_plain_password": password,
        }
    client = kafka.KafkaAdminClient(
        bootstrap_servers=["kafka:9092"], bootstrap_timeout_ms=8_000, **settings
    )
    client.list_topics()
    client.close()


def asked(ask: Callable[..., None], *arguments: str) -> str:
    try:
        ask(*arguments)
    except (psycopg.Error, redis.RedisError, kafka.errors.KafkaError) as error:
        return type(error).__name__
    return "ok"


def main() -> dict[str, str]:
    url = (SECRETS / "redis.url").read_text().strip()
    dsn = (SECRETS / "source.dsn").read_text().strip()
    password = (SECRETS / "kafka.password").read_text().strip()
    plain_url = "redis" + url.partition("?")[0].removeprefix("rediss")
    address = socket.gethostbyname("source")
    renamed = dsn.replace("@source:", "@impostor:") + f"&hostaddr={address}"
    wrong_url = "rediss://:wrong@" + url.partition("@")[2]
    return {
        "redis": asked(ask_redis, url),
        "redis without TLS": asked(ask_redis, plain_url),
        "redis with a wrong password": asked(ask_redis, wrong_url),
        "postgres": asked(ask_postgres, dsn),
        "postgres without TLS": asked(ask_postgres, dsn.partition("?")[0] + "?sslmode=disable"),
        "postgres with a wrong password": asked(
            ask_postgres, "postgresql://postgres:wrong@" + dsn.partition("@")[2]
        ),
        "postgres under another name": asked(ask_postgres, renamed),
        "kafka": asked(ask_kafka, password),
        "kafka without TLS": asked(ask_kafka, "", "PLAINTEXT"),
        "kafka without a password": asked(ask_kafka, "", "SSL"),
        "kafka with a wrong password": asked(ask_kafka, "wrong"),
    }


print(json.dumps(main()))  # noqa: T201 - how it answers
