"""The page of all events as a browser shows it."""

from pathlib import Path

import pytest

from eventstore import page
from eventstore.catalogue import Catalogue
from eventstore.overview import overview
from tests.browser import NARROW, WIDE, Scheme, Visitor, chromium
from tests.guided import guided


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)])
def test_the_page_is_readable(tmp_path: Path, scheme: Scheme, size: tuple[int, int]) -> None:
    old = {"type": "object", "properties": {"old_room": {"type": "string"}}}
    file = tmp_path / "events.html"
    seen = overview(guided(), Catalogue({"hotel.room.held": {1: old}}))
    file.write_text(page.render(seen), encoding="utf-8")
    with chromium() as browser:
        visitor = Visitor(browser, file.as_uri(), scheme, size)
        shown = visitor.goto(file.as_uri())
        assert shown.get_by_role("heading", name="hotel.room.held version 2").is_visible()
        shown.get_by_text("Version 1, of which events may be stored").click()
        assert shown.get_by_text("old_room").is_visible()
        visitor.check("events")
        visitor.close()
