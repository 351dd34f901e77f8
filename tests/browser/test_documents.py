"""Somebody brings documents, asks them, opens the place, and takes one away again."""

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from finetune_app.core import engine_client
from finetune_app.jobs import services
from tests.browser.browser_session import sign_in
from tests.browser.person import MINUTES, Person
from tests.knowledge.conftest import index_documents
from tests.worker.knowledge.conftest import PUMP, SHOP
from worker.knowledge.search import Index

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def files(folder: Path) -> list[Path]:
    made = {"pump.md": PUMP, "shop.md": SHOP, "letter.docx": "no Word at all"}
    for name, content in made.items():
        (folder / name).write_text(content)
    return [folder / name for name in made]


def from_a_file_to_the_place_that_answers(
    mara: Person, folder: Path, read_them: Callable[[], object]
) -> None:
    """On the documents page, until one of two is deleted again."""
    mara.page.locator("input[type=file]").set_input_files(files(folder))  # sends itself
    expect(mara.page.get_by_text("letter.docx").first).to_be_visible()
    read_them()

    ready = mara.page.locator("#live:not([hx-get])")
    expect(ready).to_be_attached(timeout=3 * MINUTES)
    expect(mara.page.get_by_text("You can ask as soon as they are read.")).to_be_hidden()
    shelf = mara.page.locator("#document-list")
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
    read_them()
    expect(ready).to_be_attached(timeout=3 * MINUTES)


@pytest.mark.django_db(transaction=True)
def test_with_the_worker_and_the_search_in_this_process(
    new_context, live_server, as_owner, goal, tmp_path, monkeypatch
):
    async def search(index, question, *, count, whole=False, caller=""):
        return [asdict(passage) for passage in Index(Path(index)).search(question, count)]

    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    monkeypatch.setattr(engine_client, "search", search)
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    address = live_server.url + reverse("knowledge:page", kwargs={"goal_id": goal.pk})
    mara = Person.arrives(context, address)
    from_a_file_to_the_place_that_answers(mara, tmp_path, lambda: index_documents(goal))
    assert [one.name for one in goal.knowledge.documents.all()].count("pump.md") == 0


@pytest.mark.long
def test_with_a_whole_installation(new_context, shared_installation, tmp_path):
    mara = Person.comes_in(new_context(), shared_installation)
    mara.brings_a_goal(
        what="Answer questions about our pump and our shop.",
        name="Ask the shop",
        prompt="When do you open?",
        answer="At half past eight.",
        measure="Close wording",
    )
    goal = re.search(r"(.*/goals/\d+/)", mara.page.url)
    assert goal is not None
    mara.opens(goal[1] + "documents/")
    from_a_file_to_the_place_that_answers(mara, tmp_path, lambda: None)
    holding = [
        name
        for name in shared_installation.files_of_goals()
        if b"ldermere" in (shared_installation.data_dir / name).read_bytes()
    ]
    assert holding == []
