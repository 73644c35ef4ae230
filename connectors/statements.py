"""SQL files: statements, each under a line `-- name: …`."""

import re
from functools import cache
from pathlib import Path

from psycopg import sql

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements(file: str) -> dict[str, sql.SQL]:
    """The statements of the .sql file of that name beside this module, without their comments."""
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {
        name: sql.SQL(re.sub(r"^--.*\n", "", body, flags=re.MULTILINE).strip())
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
