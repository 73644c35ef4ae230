"""placeholder until merged"""

from tailrace.watch.view import Snapshot


def exposition(snapshot: Snapshot) -> bytes:
    """Nothing yet."""
    return b""
