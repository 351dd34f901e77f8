"""Small steps of a browser that several tests take."""

import re

from playwright.sync_api import Page

from tests.browser.looker import AXE
from tests.browser.person import photograph


def press(page: Page, name: str) -> None:
    """A button or a link, by what it says."""
    button = page.get_by_role("button", name=re.compile(name))
    button.or_(page.get_by_role("link", name=re.compile(name))).first.click()
    page.wait_for_load_state()


def look(page: Page, name: str) -> None:
    """axe finds nothing, and the page is photographed where that is wanted."""
    page.evaluate(AXE.axe_script)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    photograph(page, name)
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
