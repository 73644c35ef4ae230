"""Change events as a file to compare with: what differs from run to run is replaced by names."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tailrace.harness.topics import Event

_TIMES = {"ts_ms", "ts_us", "ts_ns"}
_OF_THE_RUN = {"name", "db", "version"}


class _Names:
    """The first value seen is `L1`, the next `L2`, and so on."""

    def __init__(self, letter: str) -> None:
        self._letter = letter
        self._known: dict[str, str] = {}

    def __call__(self, value: Any) -> str | None:
        if value is None:
            return None
        return self._known.setdefault(str(value), f"{self._letter}{len(self._known) + 1}")


def normalised(events: Iterable[Event]) -> list[dict[str, Any]]:
    """
    Key and envelope of each event: LSNs become L1, L2, …, transaction ids x1, …, times <ts>.

    The commit in `sequence` is that of whatever came before, a heartbeat maybe: <commit>.
    """
    lsn, xid = _Names("L"), _Names("x")
    return [{"key": event.key, "value": _envelope(event.envelope, lsn, xid)} for event in events]


def _envelope(envelope: Mapping[str, Any], lsn: _Names, xid: _Names) -> dict[str, Any]:
    found = {name: "<ts>" if name in _TIMES else value for name, value in envelope.items()}
    source = found.get("source")
    if isinstance(source, Mapping):
        found["source"] = {name: _field(name, value, lsn, xid) for name, value in source.items()}
    transaction = found.get("transaction")
    if isinstance(transaction, Mapping):
        id_, _, at = str(transaction["id"]).partition(":")
        found["transaction"] = {**transaction, "id": f"{xid(id_)}:{lsn(at)}"}
    return found


def _field(name: str, value: Any, lsn: _Names, xid: _Names) -> Any:
    named: dict[str, Callable[[Any], Any]] = {
        "lsn": lsn,
        "sequence": lambda text: _sequence(text, lsn),
        "txId": xid,
        "xmin": xid,
    }
    if name in _TIMES:
        return "<ts>"
    if name in _OF_THE_RUN:
        return f"<{name}>"
    return named[name](value) if name in named and value is not None else value


def _sequence(text: str, lsn: _Names) -> str:
    *_, last = json.loads(text)
    return json.dumps(["<commit>", lsn(last)])


def compare(events: Iterable[Event], path: Path, *, update: bool) -> None:
    """
    Compare with a file of JSON lines; with `update`, write it anew.

    Raises AssertionError with the lines that differ, or when there is no such file.
    """
    lines = [json.dumps(each, sort_keys=True, ensure_ascii=False) for each in normalised(events)]
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return
    assert path.exists(), f"There is no {path}: run pytest with --update-golden, and look at it."
    wanted = path.read_text(encoding="utf-8").splitlines()
    if wanted != lines:
        diff = "\n".join(difflib.unified_diff(wanted, lines, str(path), "events", lineterm="", n=1))
        raise AssertionError(
            f"The events are not those of {path} (--update-golden takes them over):\n{diff}"
        )
