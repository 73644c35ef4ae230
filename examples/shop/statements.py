"""The named statements of the .sql files beside this module."""

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.M)


def read(file: str) -> dict[str, bytes]:
    """The statements of one file by name, each with its line of why."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {
        name: body.strip().removesuffix(";").encode()
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
