"""Values for the shop's columns, the awkward ones included, drawn from a seeded generator."""

import json
from base64 import b64encode
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from uuid import UUID

_NAMES = (
    "Ada",
    "Björk",
    "Çelik",
    "Dwayne",
    "Эдуард",
    "Fatima",
    "гость",
    "周杰",
    "O'Neil",
    "Zoë 🦊",
)
_NOTES = (
    None,
    "",
    " ",
    "leave at the door",
    "tab\there, line\nthere",
    "quotes \"double\" and 'single'",
    "back\\slash, \\N and \\x41",
    "NULL",
    "{not,an,array}",
    "emoji 🛒 and combining e\u0301",
)
_DAY_ONE = datetime(2025, 1, 1, tzinfo=UTC)


def name(rng: Random) -> str:
    """A person's name in one of several scripts."""
    return f"{rng.choice(_NAMES)} {rng.randrange(1000)}"


def note(rng: Random) -> str | None:
    """NULL, the empty string, or a text with what parsers trip over."""
    return rng.choice(_NOTES)


def description(rng: Random) -> str:
    """20 to 60 kB that hardly compress, so that Postgres stores them out of line."""
    return b64encode(rng.randbytes(rng.randrange(15_000, 45_000))).decode()


def money(rng: Random) -> Decimal:
    """A price between 0.01 and 999.99."""
    return Decimal(rng.randrange(1, 100_000)) / 100


def weight(rng: Random) -> str | None:
    """A numeric as text: NaN, NULL, or with more digits than a float holds."""
    return rng.choice((None, "NaN", "0", f"{rng.randrange(100)}.{rng.getrandbits(70)}"))


def rating(rng: Random) -> str | None:
    """A float8 as text: negative zero, NaN and infinities too."""
    return rng.choice((None, "NaN", "-0", "Infinity", "-Infinity", repr(rng.uniform(-5, 5))))


def interval(rng: Random) -> str | None:
    """An interval with months, days and microseconds, negative ones too."""
    months, days, micros = rng.randrange(-30, 30), rng.randrange(-40, 40), rng.randrange(10**11)
    return rng.choice((None, "0", f"{months} months {days} days {micros} microseconds"))


def moment(rng: Random) -> str:
    """A timestamptz with microseconds, in a zone of its own."""
    zone = timezone(timedelta(minutes=rng.randrange(-720, 720, 15)))
    at = _DAY_ONE + timedelta(microseconds=rng.randrange(10**14))
    return at.astimezone(zone).isoformat()


def moment_or_never(rng: Random) -> str | None:
    """A timestamptz, an infinity, or NULL."""
    return rng.choice((None, "infinity", "-infinity", moment(rng), moment(rng)))


def day(rng: Random) -> str | None:
    """A date, infinity, or NULL."""
    at = date(1900, 1, 1) + timedelta(days=rng.randrange(80_000))
    return rng.choice((None, "infinity", at.isoformat(), at.isoformat()))


def uuid(rng: Random) -> str:
    """A random UUID."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def blob(rng: Random) -> bytes | None:
    """Bytes, none, or NULL."""
    return rng.choice((None, b"", rng.randbytes(rng.randrange(1, 200))))


def flag(rng: Random) -> bool | None:
    """True, false, or NULL."""
    return rng.choice((None, True, False))


def preferences(rng: Random) -> str:
    """A jsonb as text: nested, with null, a number beyond float8, escapes."""
    document = {
        "theme": rng.choice(("dark", "light", None, 'q"uote')),
        "limits": [rng.randrange(-5, 5), {"deep": [[], {}]}],
        "é": rng.random(),
    }
    text = json.dumps(document)
    return text.replace('"limits"', f'"exact": 0.{rng.getrandbits(80)}, "limits"')


def tags(rng: Random) -> list[str | None] | None:
    """A text[] with NULL, empty and quoted elements; empty; or NULL."""
    some = [note(rng) for _ in range(rng.randrange(4))]
    return rng.choice((None, [], some, some))


def numbers(rng: Random) -> list[int | None] | None:
    """An integer[] with a NULL element, empty, or NULL."""
    some: list[int | None] = [rng.randrange(-(2**31), 2**31) for _ in range(rng.randrange(4))]
    return rng.choice((None, [], some, [*some, None]))
