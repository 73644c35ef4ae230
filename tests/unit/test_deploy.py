"""What is shipped to be run elsewhere agrees with itself: images, locks, manifests."""

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from tailrace.config import load
from tailrace.source import spec_of
from tailrace.supervise import DRAIN_WITHIN_S

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
KUBERNETES = ("1.29", "1.33")  # the oldest that is meant to work, and a new one
FILLED = {
    "source.dsn": "postgresql://a:b@db:5432/shop?sslmode=verify-full&sslrootcert=/ca.crt",
    "target.dsn": "postgresql://a:b@db:5432/warehouse",
    "redis.url": "rediss://:b@redis:6379/0",
    "kafka.password": "b",
}


def manifests() -> list[tuple[str, dict[str, Any]]]:
    return [
        (path.name, document)
        for path in sorted(K8S.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def named(kind: str) -> dict[str, Any]:
    return next(document for _, document in manifests() if document["kind"] == kind)


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_are_what_kubernetes_takes(version: str) -> None:
    kinds = [document["kind"] for _, document in manifests()]
    assert sorted(kinds) == sorted(
        ["ConfigMap", "Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Secret"]
    )
    for _, document in manifests():
        kubernetes_validate.validate(document, version, strict=True)


def test_a_wrong_manifest_is_refused() -> None:
    worker = named("Deployment")
    worker["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worker, KUBERNETES[-1], strict=True)


def test_the_secret_holds_nothing() -> None:
    assert set(named("Secret")["stringData"].values()) == {""}


def test_a_pod_is_granted_longer_than_the_daemon_drains() -> None:
    grace_s = named("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    compose = yaml.safe_load(re.sub(r"!\w+", "", (ROOT / "docker-compose.yml").read_text()))
    assert grace_s >= DRAIN_WITHIN_S + 10
    assert int(compose["services"]["worker"]["stop_grace_period"][:-1]) >= DRAIN_WITHIN_S + 10


def test_no_container_has_more_rights_than_it_needs() -> None:
    for kind in ("Deployment", "Job"):
        pod = named(kind)["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            rights = container["securityContext"]
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert rights["readOnlyRootFilesystem"]
            assert rights["allowPrivilegeEscalation"] is False
            assert "limits" in container["resources"]


def test_the_pipelines_can_be_read(tmp_path: Path) -> None:
    """With the secrets where they are mounted; Connect checks the certificate as the DSN says."""
    for name, text in FILLED.items():
        (tmp_path / name).write_text(text)
    of_k8s = named("ConfigMap")["data"]["pipeline.yaml"]
    of_compose = (ROOT / "deploy" / "pipeline.yaml").read_text()
    for text in (of_k8s, of_compose):
        moved = re.sub(r"(_file: )\S*/", rf"\g<1>{tmp_path}/", text)
        (tmp_path / "pipeline.yaml").write_text(moved)
        environment = {"TAILRACE__SOURCE__PLACEHOLDER": "unchanged-0123456789"}
        spec = spec_of(load(tmp_path / "pipeline.yaml", env=environment))
        assert spec.sslmode == "verify-full"
        assert spec.settings == {"database.sslrootcert": "/ca.crt"}
        assert spec.partitions >= 3


def test_versions_are_in_one_place() -> None:
    text = (ROOT / "versions.env").read_text()
    versions = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert f"ARG PYTHON_IMAGE={versions['PYTHON_IMAGE']}\n" in (ROOT / "Dockerfile").read_text()
    for file in ROOT.glob("*compose*.yml"):
        images = re.findall(r"^ +image: (?!tailrace$)(.*)$", file.read_text(), re.M)
        used = [re.match(r"\$\{(\w+):\?", image) for image in images]
        assert all(match and match[1] in versions for match in used), file


def test_the_image_holds_what_is_pinned_and_needed_and_no_more() -> None:
    pinned = _pins(ROOT / "requirements.lock")
    shipped = _pins(ROOT / "deploy" / "requirements.lock")
    for name, lines in shipped.items():
        assert lines.split()[0] == pinned[name].split()[0]
        assert re.findall(r"sha256:\w+", lines) == re.findall(r"sha256:\w+", pinned[name])
    needed: set[str] = set()
    _add_needed("tailrace", ("dashboard",), needed)
    assert needed - {"tailrace"} <= set(shipped)
    # What only another Python or another system needs is in a lock for all of them.
    assert {name for name in shipped if ";" not in shipped[name].split("\\")[0]} <= needed


def _pins(lock: Path) -> dict[str, str]:
    """Each package's lines, hashes included."""
    found = re.findall(r"^([a-z0-9.-]+)(==(?:.|\n(?= ))+)", lock.read_text(), re.M)
    return {name: lines for name, lines in found}


def _add_needed(name: str, extras: tuple[str, ...], found: set[str]) -> None:
    for line in metadata.requires(name) or ():
        wanted = Requirement(line)
        marker = wanted.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        known = wanted.name.lower().replace("_", "-").replace(".", "-")
        if known not in found or wanted.extras:
            found.add(known)
            _add_needed(known, tuple(wanted.extras), found)
