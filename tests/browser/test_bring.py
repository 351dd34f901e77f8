"""A person brings a file, then a newer one, looks at what would change, and takes it back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Page, Route, expect

from finetune_app.datasets.models import Import
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.models import Goal
from finetune_app.imports import chunked_upload
from finetune_app.imports.models import Upload
from finetune_app.jobs import services
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.person import SHOTS
from tests.worker.conftest import supervise

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = "ref;mails;antw\n" + "".join(
    f"k{n};Where is order number {n * 37}?;topic: order_{n}\n" for n in range(12)
)
NEWER = (
    "ref;mails;antw\n"
    "k3;Where is order number 111?;topic: order_status\n"  # another answer
    "k4;Where is order number 148?;topic: order_4\n"  # the same
    "k99;Do you repair tandems?;topic: repair\n"
)


@pytest.fixture
def page(new_context, live_server, as_owner, goal: Goal, monkeypatch) -> Iterator[Page]:
    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    opened = context.new_page()
    wrong = listen(opened)
    opened.goto(live_server.url + reverse("imports:add", kwargs={"goal_id": goal.pk}))
    yield opened
    assert faults(wrong) == []


@pytest.fixture
def choose(page, tmp_path) -> Callable[..., None]:
    """Choose a file of this text: the same one as before, if it has not changed."""

    def chosen(name: str, text: str) -> None:
        file = tmp_path / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Look at it").click()

    return chosen


def photograph(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def worked(page: Page) -> None:
    """A worker does what the newest import waits for; its page goes on by itself."""
    page.wait_for_url("**/imports/*/")
    supervise(Import.objects.latest("pk").job)
    expect(page.locator("[hx-trigger='every 1s']")).to_have_count(0)


def test_a_newer_file_updates_and_is_taken_back(page, choose, goal):
    dataset = dataset_of(goal)
    choose("mails.csv", FIRST)
    worked(page)
    expect(page.get_by_role("heading", name="Which column holds the answers?")).to_be_visible()
    page.wait_for_load_state()
    page.get_by_text("Which column is what").click()
    page.get_by_label("What is asked").select_option("mails")
    page.get_by_label("The answer to learn").select_option("antw")
    page.get_by_text("More options: splits").click()
    page.get_by_label("The row’s own name or number").select_option("ref")
    expect(page.get_by_text("topic: order_0")).to_be_visible()
    page.get_by_role("button", name="Add").click()
    worked(page)
    expect(page.get_by_role("heading", name="12 examples were added.")).to_be_visible()

    page.goto(page.url.rsplit("/imports/")[0] + "/add/")
    choose("newer.csv", NEWER)
    worked(page)
    expect(page.get_by_text("The columns are set as last time")).to_be_visible()
    page.wait_for_load_state()
    page.get_by_role("radio", name="Update them").check()
    expect(page.get_by_text("A row is the same when its “ref” is.")).to_be_visible()
    photograph(page, "bring-mode")
    page.get_by_role("button", name="See what changes").click()
    worked(page)
    expect(page.get_by_role("heading", name="Is this what should change?")).to_be_visible()
    expect(page.locator(".plan")).to_contain_text("1 are added")
    expect(page.locator(".before-after")).to_contain_text("topic: order_status")
    photograph(page, "bring-plan")
    assert dataset.examples.get(key="k3").answer == "topic: order_3"

    page.get_by_role("button", name="Update the examples").click()
    worked(page)
    assert dataset.examples.get(key="k3").answer == "topic: order_status"
    assert dataset.examples.kept().count() == 13
    photograph(page, "bring-done")
    page.get_by_role("button", name="Undo all of it").click()
    expect(page.get_by_text("Undone.")).to_be_visible()
    assert dataset.examples.get(key="k3").answer == "topic: order_3"
    assert dataset.examples.kept().count() == 12


def test_cells_copied_from_a_spreadsheet_are_rows(page):
    page.locator("summary", has_text="Or paste rows").click()
    cells = (
        "question\tanswer\r\n"
        'Do you repair tandems?\t"Yes,\nsince 1998"\r\n'
        "Open today?\tUntil six\r\n"
    )
    page.get_by_label("Or paste rows from a spreadsheet").fill(cells)
    page.get_by_role("button", name="Look at it").click()
    worked(page)
    expect(page.get_by_text("since 1998")).to_be_visible()
    expect(page.get_by_role("button", name="Add 2 examples")).to_be_visible()


def test_a_large_file_pauses_goes_on_after_a_reload_and_survives_a_lost_connection(
    page, choose, monkeypatch
):
    monkeypatch.setattr(chunked_upload, "CHUNK_BYTES", 100)
    sent: list[str] = []

    def third_breaks_off(route: Route) -> None:
        sent.append(route.request.url)
        if len(sent) == 3:
            page.get_by_role("button", name="Pause").dispatch_event("click")
        route.continue_()

    page.evaluate("document.getElementById('bring').dataset.above = 0")
    page.route("**/uploads/*/?offset=*", third_breaks_off)
    choose("large.csv", FIRST)
    expect(page.get_by_text("Paused. What has arrived is kept for a day.")).to_be_visible()
    assert Upload.objects.get().received == 300
    photograph(page, "bring-paused")

    page.unroute("**/uploads/*/?offset=*")
    page.reload()
    expect(page.get_by_text("Choose the same file again to continue.")).to_be_visible()
    page.evaluate("document.getElementById('bring').dataset.above = 0")
    choose("large.csv", FIRST)
    worked(page)
    item = Import.objects.get()
    assert item.size == len(FIRST)
    assert not Upload.objects.exists()
