"""The past that the charts show, and what becomes of it when its file or the clock goes wrong."""

import sqlite3
from pathlib import Path

import pytest

from tailrace.exits import Problem
from tailrace.watch import history
from tailrace.watch.history import History, Point
from tailrace.watch.states import State
from tailrace.watch.view import Snapshot

NOW_S = 1_800_000_000.0


def point(at_s: float) -> Point:
    return Point(at_s, State.OK, 0.0, 0, None, None, None, None)


def add(kept: History, monkeypatch: pytest.MonkeyPatch, at_s: float) -> None:
    monkeypatch.setattr(history, "_points", lambda _: [(("shop", "mirror"), point(at_s))])
    kept.add(Snapshot(at_s, 1.0, ()))


def test_what_was_noted_before_the_clock_was_set_back_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else charts would show what is yet to come, and stand still until then."""
    kept = History(None)
    for at_s in (NOW_S + 3600, NOW_S, NOW_S + 1):
        add(kept, monkeypatch, at_s)
    found = kept.series("shop", "mirror", 1, NOW_S - 60)
    assert [each.at_s for each in found] == [NOW_S, NOW_S + 1]
    kept.close()


def test_a_locked_file_is_said_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may write to it, for instance another dashboard."""
    monkeypatch.setattr(history, "LOCKED_S", 0.01)
    file = tmp_path / "history.sqlite"
    kept = History(file)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    add(kept, monkeypatch, NOW_S)
    assert kept.trouble == "The history is not being kept: database is locked."
    other.execute("ROLLBACK")
    add(kept, monkeypatch, NOW_S + 1)
    assert kept.trouble is None
    other.execute("UPDATE points SET state = 'OF ANOTHER VERSION'")
    other.close()
    with pytest.raises(Problem, match="TR-DSH-007"):
        kept.series("shop", "mirror", 1, 0.0)
    kept.close()
