"""How the brokers are reached: encrypted and by name where the file says so, never half of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tailrace.cli import app
from tailrace.config import Pipeline, load
from tailrace.exits import Problem

FILE = """\
pipeline: shop
source: {dsn: "host=db", tables: [public.t], placeholder: unchanged-0123456789abcdef}
sinks: {mirror: {type: postgres, dsn: "host=dw"}}
kafka: {bootstrap: "a:1,b:2"%s}
"""


def read(folder: Path, kafka: str) -> Pipeline:
    file = folder / "pipeline.yaml"
    file.write_text(FILE % kafka)
    (folder / "word").write_text("s3cr3t\n")
    return load(file, env={})


def test_in_the_clear(tmp_path: Path) -> None:
    assert read(tmp_path, "").kafka.client() == {"bootstrap_servers": ["a:1", "b:2"]}


def test_encrypted_and_by_name(tmp_path: Path) -> None:
    kafka = read(tmp_path, ", tls: true, tls_ca: ca.pem, username: me, password_file: word").kafka
    assert kafka.client() == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_SSL",
        "ssl_cafile": "ca.pem",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "s3cr3t",
    }


def test_encrypted_alone(tmp_path: Path) -> None:
    client = read(tmp_path, ", tls: true").kafka.client()
    assert client["security_protocol"] == "SSL"
    assert client["ssl_cafile"] is None  # the system's own


@pytest.mark.parametrize(
    ("kafka", "sentence"),
    [
        (", tls: true, username: me", "kafka.username and kafka.password go together"),
        (", tls: true, password_file: word", "kafka.username and kafka.password go together"),
        (", username: me, password_file: word", "set kafka.tls to true"),
        (", tls_ca: ca.pem", "kafka.tls_ca means nothing without kafka.tls"),
        (", tls: maybe", "kafka.tls must be true or false"),
    ],
)
def test_half_of_it_is_refused(tmp_path: Path, kafka: str, sentence: str) -> None:
    with pytest.raises(Problem, match=sentence):
        read(tmp_path, kafka)


def test_the_password_is_never_shown(tmp_path: Path) -> None:
    pipeline = read(tmp_path, ", tls: true, username: me, password_file: word")
    assert "s3cr3t" not in repr(pipeline)
    file = str(tmp_path / "pipeline.yaml")
    shown = CliRunner().invoke(app, ["config", "show", "--config", file])
    assert shown.exit_code == 0
    assert "kafka.username" in shown.output
    assert "s3cr3t" not in shown.output
