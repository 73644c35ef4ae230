"""What was taken from others is as it was taken."""

import hashlib
import re
from pathlib import Path

import tailrace.dashboard

STATIC = Path(tailrace.dashboard.__file__).with_name("static")


def test_checksums() -> None:
    text = (STATIC / "VENDORED.md").read_text()
    said = dict(re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", text, re.MULTILINE))
    found = {name: hashlib.sha256((STATIC / name).read_bytes()).hexdigest() for name in said}
    assert said == found
    assert {"htmx.js", "hx-sse.js", "uplot.js", "uplot.css"} <= said.keys()
