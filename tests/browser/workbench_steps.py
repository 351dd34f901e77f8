"""Steps on the workbench page."""

import re

from playwright.sync_api import expect

from tests.browser.person import Person


def writes(mara: Person, words: str) -> None:
    with mara.page.expect_response(re.compile("/instructions/save/")):
        mara.page.get_by_label("Instructions").fill(words)
    expect(mara.page.locator("#tries .score")).to_contain_text(
        "Not tried yet with these instructions"
    )


def keeps(mara: Person) -> None:
    mara.click("^Save this version$")
    expect(mara.page.get_by_text("Saved as version")).to_be_visible()
