"""What every page has to be, and where a person can see what the tests have seen."""

from __future__ import annotations

import pathlib

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.web import viewer

SHOWN = pathlib.Path(__file__).parents[2] / "test-results" / "pages"
VIEWS = [(theme, width) for theme in ("light", "dark") for width in (1440, 390)]


def hold(page: Page) -> None:
    """Nothing serious for axe, nothing to scroll sideways, no text upon text."""
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [
        (each["id"], each["nodes"][0]["html"][:300], each["nodes"][0]["failureSummary"]) for each in serious
    ] == []
    assert viewer.sideways(page) == 0
    assert viewer.overlaps(page) == []


def show(page: Page, name: str) -> None:
    """A picture of all of the page."""
    SHOWN.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOWN / f"{name}.png", full_page=True)
