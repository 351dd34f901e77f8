"""A report is downloaded from the verdict, and opened from disk where there is no network."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.looker import AXE, NARROW, WIDE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def verdict(goal, owner, as_owner, new_context, live_server) -> Page:
    """The page of a verdict."""
    training = journey.trained(journey.ready(goal, owner), owner)
    evaluation = journey.evaluated(training, owner, instructions="Sort it.")
    context = new_context(accept_downloads=True)
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    page.goto(f"{live_server.url}/goals/{goal.pk}/evaluation/{evaluation.pk}/")
    return page


@pytest.fixture
def report(verdict, tmp_path) -> Path:
    """The file, as a person gets it."""
    verdict.get_by_text("Download the results").click()
    with verdict.expect_download() as download:
        verdict.get_by_role("link", name="Report to read").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_the_report_opens_from_disk_without_a_network(report, new_context):
    context = new_context(offline=True)
    page, asked = context.new_page(), []
    wrong = listen(page)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", level=1)).to_contain_text("Better at your task")
    expect(page.get_by_text("Sort each email.")).to_be_visible()
    assert page.locator(".chart.units").bounding_box()["width"] > 300
    assert page.locator("article.example").count() > 3
    assert asked == [report.as_uri()]
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert faults(wrong) == []


def test_no_script_runs_in_a_report(report, new_context):
    text = report.read_text(encoding="utf-8")
    report.write_text(text.replace("<h1>", "<script>document.title = 'run'</script><h1>"))
    page = new_context(offline=True).new_page()
    page.goto(report.as_uri())
    assert page.title() != "run"


def test_axe_finds_nothing_in_a_report(report, new_context):
    page = new_context(offline=True, bypass_csp=True).new_page()
    page.goto(report.as_uri())
    page.evaluate(AXE.axe_script)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [one["id"] for one in found["violations"]] == []
