"""Chromium for tests of pages, with what must hold on each of them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = (1280, 900), (360, 780)
SCREENSHOTS = os.environ.get("TAILRACE_SCREENSHOTS")  # a folder to write them to
Scheme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The one that is installed; without one the test is skipped."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed; .ci/browser does that on Debian")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Visitor:
    """One who looks at pages of `url`; `complaints` is what the browser had to say."""

    def __init__(
        self, browser: Browser, url: str, scheme: Scheme = "light", size: tuple[int, int] = WIDE
    ) -> None:
        self.scheme, self.width = scheme, size[0]
        self.context = browser.new_context(
            base_url=url,
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
        )
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", lambda said: self._hear(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._see(request.url, url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _see(self, asked: str, url: str) -> None:
        if not asked.startswith((url, "data:", "blob:")):
            self.elsewhere.append(asked)

    def goto(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def log_in(self, token: str, name: str = "Ada") -> None:
        self.goto("/login")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("main").get_by_role("button", name="Log in").click()

    def check(self, name: str) -> None:
        """Nothing that axe finds, nothing wider than the window, nothing from elsewhere."""
        found: Any = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not self.page.evaluate(wide), f"{name} is wider than {self.width} px"
        assert self.complaints == []
        assert self.elsewhere == []
        if SCREENSHOTS:
            file = Path(SCREENSHOTS) / f"{name}-{self.scheme}-{self.width}.png"
            self.page.screenshot(path=file, full_page=self.width < 500)

    def close(self) -> None:
        self.context.close()
