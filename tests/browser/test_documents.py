"""Somebody brings documents, asks them, opens the place, and takes one away again: the whole
installation, the real worker and the real engine."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.person import MINUTES, Person
from tests.worker.knowledge.conftest import PUMP, SHOP

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def files(folder: Path) -> list[Path]:
    made = {"pump.md": PUMP, "shop.md": SHOP, "letter.docx": "no Word at all"}
    for name, content in made.items():
        (folder / name).write_text(content)
    return [folder / name for name in made]


def test_from_a_file_to_the_place_that_answers(new_context, house, tmp_path):
    mara = Person.comes_in(new_context(), house)
    mara.brings_a_goal(
        what="Answer questions about our pump and our shop.", name="Ask the shop",
        prompt="When do you open?", answer="At half past eight.", measure="Close wording",
    )  # fmt: skip
    goal = re.search(r"(.*/goals/\d+/)", mara.page.url)
    assert goal is not None
    mara.opens(goal[1] + "documents/")
    mara.page.locator("input[type=file]").set_input_files(files(tmp_path))  # sends itself

    ready = mara.page.locator("#live:not([hx-get])")
    expect(ready).to_be_attached(timeout=3 * MINUTES)
    shelf = mara.page.locator("#shelf")
    expect(shelf.get_by_text("Can be searched")).to_have_count(2)
    expect(shelf.get_by_text("Its name says a Word document")).to_be_visible()

    mara.type("Your question", "How long am I covered if my new pump breaks?")
    mara.click("Look it up")
    first = mara.page.locator(".passages li").first
    expect(first).to_contain_text("27 months", timeout=MINUTES)
    mara.photograph("documents")
    first.get_by_role("link").click()
    expect(mara.page.locator("mark").first).to_be_in_viewport()
    expect(mara.page.locator("mark", has_text="27 months")).to_be_visible()

    mara.click("Back to the documents")
    mara.type("Your question", "Who wrote Pride and Prejudice?")
    mara.click("Look it up")
    expect(mara.page.get_by_text("Not in your documents.")).to_be_visible(timeout=MINUTES)

    row = mara.page.locator("tr", has_text="pump.md")
    row.get_by_role("button", name=re.compile("^Delete")).first.click()
    mara.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(mara.page.get_by_text("is deleted: the file, its text")).to_be_visible()
    expect(ready).to_be_attached(timeout=3 * MINUTES)
    holding = [name for name in house.files_of_goals()
               if b"ldermere" in (house.data_dir / name).read_bytes()]
    assert holding == []
