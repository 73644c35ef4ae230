"""A probe keeps the newest answer, and says why there is none, whatever went wrong."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tailrace.asking import Away
from tailrace.harness.waits import eventually
from tailrace.watch.probes import Probe


@contextmanager
def opened() -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Away("It is down."), "It is down."),
        (ValueError("odd"), "it could not be asked (ValueError: odd)."),
    ],
)
def test_an_answer_after_none(error: Exception, sentence: str) -> None:
    answers: list[object] = [error]

    def look(_: None) -> str:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return str(answers[0])

    probe = Probe("it", opened, look, interval_s=0.01)
    probe.start()
    eventually(lambda: probe.away == sentence, 5)
    assert probe.seen is None
    answers[0] = "up"
    eventually(lambda: probe.seen is not None and probe.seen.answer == "up", 5)
    assert probe.away is None
    probe.stop()


def test_a_clock_that_is_set_back_holds_up_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nobody would ask for as long as it was set back, and old answers would look new."""
    asked: list[float] = []

    def look(_: None) -> None:
        asked.append(time.time())
        monkeypatch.setattr(time, "time", lambda: asked[0] - 3600)

    probe = Probe("it", opened, look, interval_s=0.01)
    probe.start()
    eventually(lambda: len(asked) > 2, 5)
    probe.stop()
