"""The dashboard of many pipelines: how soon a browser shows it, and what one update costs."""

import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

from bench.lab import BenchFailed
from bench.machine import cpu_s

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
NAMES = ("chromium", "chromium-browser", "google-chrome")
READY_WITHIN_S = 60.0
VISITS = 5
FILTERS = ("", "f", "fl", "fle", "flee", "fleet")  # each finds all, and is rendered by itself
LOOK_EVERY_MS = 50
WATCH_ROWS = """
const look = () => {
  if (document.querySelectorAll("tbody tr").length >= ROWS) window.rowsAt = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def measured(folder: Path, history: Path, rows: int, seconds: float) -> dict[str, Any]:
    """Starts `tailrace dashboard` on a folder of pipeline files, and visits it."""
    with _served(folder, history) as (pid, url):
        _wait_for_rows(url, rows)
        paints = list(_paints(url, rows))
        alone_s, alone = _cpu_while(pid, url, seconds)
        with _viewers(url):
            seen_s, seen = _cpu_while(pid, url, seconds)
    per_look_s, with_viewers_s = alone_s / alone, seen_s / seen
    firsts, complete, floors = zip(*paints, strict=True)
    return {
        "first_paint_ms": round(statistics.median(firsts)),
        "all_rows_ms": round(statistics.median(complete)),
        "first_paint_of_login_ms": round(statistics.median(floors)),
        "look_cpu_ms": round(per_look_s * 1000, 1),
        "look_and_updates_cpu_ms": round(with_viewers_s * 1000, 1),
        "update_cpu_ms": round((with_viewers_s - per_look_s) / len(FILTERS) * 1000, 1),
        "looks": [alone, seen],
    }


@contextmanager
def _served(folder: Path, history: Path) -> Iterator[tuple[int, str]]:
    """The process and where it serves."""
    words = [sys.executable, "-m", "tailrace", "dashboard", "--config", str(folder)]
    process = subprocess.Popen(
        [*words, "--history", str(history)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "http://" in line:
                yield process.pid, line[line.index("http://") :].strip().rstrip("/")
                return
        raise BenchFailed("the dashboard ended before it served")
    finally:
        process.terminate()
        process.communicate()


def _wait_for_rows(url: str, rows: int) -> None:
    until_s = time.monotonic() + READY_WITHIN_S
    while len(httpx.get(f"{url}/api/v1/snapshot", timeout=30).json()["pipelines"]) < rows:
        if time.monotonic() > until_s:
            raise BenchFailed(f"the dashboard had no {rows} pipelines in {READY_WITHIN_S:.0f} s")
        time.sleep(0.5)


def _paints(url: str, rows: int) -> Iterator[tuple[float, float, float]]:
    """
    Milliseconds from navigation to first content, and to all rows; and to the first content of a
    page with nothing on it, in turn: what browser and machine take for themselves.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise BenchFailed("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        _visit(browser, url, rows)  # a browser's first page is slower
        for _ in range(VISITS):
            yield *_visit(browser, url, rows), _visit(browser, f"{url}/login", 0)[0]
        browser.close()


def _visit(browser: Browser, url: str, rows: int) -> tuple[float, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(WATCH_ROWS.replace("ROWS", str(rows)))
    page = context.new_page()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(f"tbody tr:nth-child({rows})" if rows else "form")
    found: list[float | None] = [None]
    while None in found:  # the page's own policy forbids to wait for an expression
        page.wait_for_timeout(LOOK_EVERY_MS)
        found = [page.evaluate(FIRST_PAINT), page.evaluate("window.rowsAt")]
    context.close()
    return found[0] or 0.0, found[1] or 0.0


def _cpu_while(pid: int, url: str, seconds: float) -> tuple[float, int]:
    """CPU from one look to another at least `seconds` later, and how many looks those are."""
    until_s = time.monotonic() + seconds
    # The smallest page that hears of each look: in both measurements, so it cancels out.
    with httpx.stream("GET", f"{url}/live/verify?name=fleet000", timeout=None) as answer:
        heard = (line for line in answer.iter_lines() if line.startswith("id: "))
        next(heard)  # as it is when the page is opened
        next(heard)
        before_s = cpu_s(pid)
        for looks, _ in enumerate(heard, 1):
            if time.monotonic() > until_s:
                return cpu_s(pid) - before_s, looks
    raise BenchFailed("the dashboard ended its stream")


@contextmanager
def _viewers(url: str) -> Iterator[None]:
    """Some who have the overview open, each with another filter, and only read."""
    ended = threading.Event()

    def read(filter_text: str) -> None:
        asked = {"q": filter_text}
        with httpx.stream("GET", f"{url}/live/overview", params=asked, timeout=None) as answer:
            for _ in answer.iter_raw():
                if ended.is_set():
                    return

    threads = [threading.Thread(target=read, args=[text], daemon=True) for text in FILTERS]
    for thread in threads:
        thread.start()
    yield
    ended.set()
    for thread in threads:
        thread.join()
