"""The kinds of values that a pipeline's file may hold, how they are written, how they are shown."""

import re
from typing import Annotated, Any

from msgspec import Meta

_KEYWORD = re.compile(r"((?:password|sslpassword)\s*=\s*)('(?:\\.|[^'\\])*'?|[^\s&]*)", re.I | re.S)
_USER_INFO = re.compile(r"(://[^:@/]*:).*@", re.S)
_SIZE = re.compile(r"(\d{1,15})\s*(|B|KiB|MiB|GiB)", re.I)
_UNIT = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def redact(text: str) -> str:
    """The same DSN or URL with `***` where a password stood."""
    return _USER_INFO.sub(r"\1***@", _KEYWORD.sub(r"\1***", text))


def shown(name: str, value: Any) -> Any:
    """A setting's value as people may see it."""
    if name in ("password", "operator_token", "viewer_token") and value is not None:
        return "***"
    return redact(value) if isinstance(value, str) else value


def names(text: str) -> list[str]:
    """What a text lists, commas between: how a list is written in the environment."""
    return [name.strip() for name in text.split(",")]


def size(text: str) -> int:
    """Bytes from `8MiB`, `512 KiB` or a plain number; raises ValueError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNIT[match[2].lower()]


def dsn(text: str) -> str:
    """The same text if libpq can read it as a connection string; raises ValueError if not."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError("not a DSN") from None
    return text


_END = r"(?![\s\S])"  # the very end, in Python and in the ECMAScript of JSON Schema

# A `title` ends the sentence "KEY must be …"; it is also what an editor shows.
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z](_?[a-z0-9])*" + _END,
        max_length=41,
        title="a name of up to 41 small letters, digits and single underscores, a letter first",
    ),
]
Text = Annotated[str, Meta(min_length=1, title="a text that is not empty")]
Table = Annotated[
    str,
    Meta(pattern=r"^[^.]+\.[\s\S]", title="a table written with its schema, like public.orders"),
]
Tables = Annotated[
    tuple[Table, ...],
    Meta(
        title="a list of tables, each written with its schema, like public.orders",
        extra={"parse": names},
    ),
]
Placeholder = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9-]{16,64}" + _END,
        title="16 to 64 random letters, digits and dashes, as `tailrace config init` makes them",
    ),
]
Count = Annotated[int, Meta(ge=1, le=1_000_000, title="a whole number from 1 to 1000000")]
Millis = Annotated[int, Meta(ge=0, le=60_000, title="whole milliseconds from 0 to 60000")]
Port = Annotated[int, Meta(ge=0, le=65_535, title="a port number from 0 to 65535")]
Size = Annotated[
    int,
    Meta(
        ge=1,
        title="a size in bytes such as 8MiB",
        extra={"parse": size},
        extra_json_schema={"type": ["integer", "string"]},
    ),
]
_HOST = r"[^/\s:@]+|\[[0-9A-Fa-f:.]+\]"
HttpUrl = Annotated[
    str,
    Meta(
        pattern=rf"^https?://([^/\s@]*@)?({_HOST})(:\d{{1,5}})?(/\S*)?" + _END,
        title="a URL such as http://127.0.0.1:8083",
    ),
]
Brokers = Annotated[
    str,
    Meta(
        pattern=rf"^({_HOST}):\d{{1,5}}(\s*,\s*({_HOST}):\d{{1,5}})*" + _END,
        title="host:port, several with commas between",
    ),
]
RedisUrl = Annotated[
    str,
    Meta(
        pattern=r"^(rediss?|unix)://",
        title="a URL that starts with redis://, rediss:// or unix://",
        extra={"secret": True},
        extra_json_schema={"writeOnly": True},
    ),
]
Dsn = Annotated[
    str,
    Meta(
        min_length=1,
        title="a Postgres DSN such as postgresql://user@host:5432/database",
        extra={"secret": True, "parse": dsn},
        extra_json_schema={"writeOnly": True},
    ),
]


Password = Annotated[
    str,
    Meta(
        min_length=1,
        title="a password",
        extra={"secret": True},
        extra_json_schema={"writeOnly": True},
    ),
]

Token = Annotated[
    str,
    Meta(
        pattern=r"^[!-~]{16,200}" + _END,
        title="a token of 16 to 200 characters without spaces, as `openssl rand -hex 24` makes",
        extra={"secret": True},
        extra_json_schema={"writeOnly": True},
    ),
]
