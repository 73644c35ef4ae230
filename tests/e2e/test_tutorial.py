"""docs/event-sourcing-tutorial.md, run as it stands: each block in order, in an empty folder."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack import AnyStack, Endpoints

PAGE = Path(__file__).parents[2] / "docs" / "event-sourcing-tutorial.md"
BLOCK = re.compile(r"^```(?:python file=(\S+)|(console))\n(.*?)^```$", re.M | re.S)
WITHIN_S = 200
AWAY = ("--drop-slot", "--drop-publication", "--yes")


def script(folder: Path) -> str:
    """Writes the files; the commands as one script, with a mark before what each of them prints."""
    lines = ["set -e"]
    for file, _, text in BLOCK.findall(PAGE.read_text()):
        if file:
            (folder / file).write_text(text)
            continue
        for line in text.splitlines():
            if line.startswith("$ "):
                lines += [f"echo '{line}'", line.removeprefix("$ ")]
    return "\n".join([*lines, "wait"])


def promised() -> Iterator[tuple[str, list[str]]]:
    """Each command of which the page shows what it prints."""
    for _, console, text in BLOCK.findall(PAGE.read_text()):
        for part in re.split(r"^\$ ", text, flags=re.M)[1:] if console else ():
            command, *shown = part.splitlines()
            if shown:
                yield command, shown


@pytest.fixture
def folder(stack: AnyStack, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / ".tailrace").symlink_to(stack.folder)
    yield tmp_path
    if (tmp_path / "pipeline.yaml").exists():  # again, if the page did not come that far
        words = [sys.executable, "-m", "tailrace", "connector", "delete", *AWAY]
        subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=60)
    at = Endpoints.load(stack.folder)
    for server in (at.source, at.target):
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS wallets WITH (FORCE)")


def test_every_block_does_what_the_page_says(folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", script(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    expected = list(promised())
    assert len(expected) == 4
    for command, shown in expected:
        assert f"$ {command}\n" + "\n".join(shown) in done.stdout, done.stdout
