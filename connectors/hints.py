"""From the words of Debezium, the JDBC driver or Postgres to a code and the next step."""

import re

from connectors import errors

_HINTS: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|no password|role .* does not exist|\$\{\w+:",
        errors.LOGIN_REFUSED,
        "The source refuses the connector's login: check user and password; a reference such as"
        " ${file:…} works only where every worker has that provider in config.providers.",
    ),
    (
        r"pg_hba\.conf",
        errors.LOGIN_REFUSED,
        "The source lets no such login in: add lines to its pg_hba.conf for the workers' address.",
    ),
    (
        r"Connection .*refused|UnknownHost|connection attempt failed|timed out|No route",
        errors.SOURCE_ABSENT,
        "A Connect worker cannot reach the source: check host and port as the worker sees them.",
    ),
    (
        r"database .* does not exist",
        errors.SOURCE_ABSENT,
        "The source has no such database: correct the name.",
    ),
    (
        r"replication slot .* is active",
        errors.SLOT_TAKEN,
        "Another program reads the replication slot: stop it, or choose another slot name.",
    ),
    (
        r"no longer available on the server",
        errors.SLOT_GAP,
        "The replication slot is gone or was made anew, so changes in between are lost to it:"
        " delete the connector with its slot, apply again, and let it take a new snapshot.",
    ),
    (
        r"wal_level",
        errors.WAL_LEVEL,
        "Run ALTER SYSTEM SET wal_level = logical on the source and restart it.",
    ),
    (
        r"permission denied to (create|start|use).*replication|must be superuser or replication",
        errors.NO_REPLICATION_RIGHT,
        "The connector's role may not stream the log: run ALTER ROLE … REPLICATION.",
    ),
    (
        r"permission denied for (table|schema|relation)",
        errors.NO_SELECT_RIGHT,
        "The connector's role may not read a table: GRANT it USAGE on the schema and SELECT.",
    ),
    (
        r"publication .* does not exist|publication autocreation is disabled",
        errors.PUBLICATION_TAKEN,
        "The publication is missing: connector apply creates it.",
    ),
    (
        r"all replication slots are in use",
        errors.SLOTS_EXHAUSTED,
        "Drop a slot that is no longer used, or raise max_replication_slots.",
    ),
)


def hint(said: str) -> tuple[str, str] | None:
    """The code and the next step for an error text, or None when it is not a known one."""
    for pattern, code, step in _HINTS:
        if re.search(pattern, said, re.IGNORECASE):
            return code, step
    return None


def first_line(trace: str) -> str:
    """What went wrong in a Java stack trace: its last cause, or its first line."""
    causes = re.findall(r"^Caused by: (.*)$", trace, re.MULTILINE)
    line = causes[-1] if causes else trace.strip().partition("\n")[0]
    return re.sub(r"^(?:[\w$]+\.)+[\w$]+: ", "", line).rstrip(".")
