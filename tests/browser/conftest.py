"""A real Chromium, and a real installation started with `manage.py up` for it to visit."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.installation import Installation, started
from tests.run import BROWSERS

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FOUND = next(filter(None, map(shutil.which, BROWSERS)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if {"installation", "shared_installation"} & set(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One for the tests of this folder. While Playwright is there its loop counts as running in
    this thread, and tests of other folders could start none of their own."""
    if FOUND is None:
        pytest.skip("no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=FOUND, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def new_context(chromium) -> Iterator[Callable[..., BrowserContext]]:
    """Browsers of their own, without cookies."""
    made: list[BrowserContext] = []

    def make(**options) -> BrowserContext:
        options = {"viewport": {"width": 1280, "height": 900}} | options
        made.append(chromium.new_context(**options))
        return made[-1]

    yield make
    for context in made:
        context.close()


def listen(page: Page) -> list[str]:
    """What goes wrong on a page from now on: errors on its console, a broken policy among them."""
    wrong: list[str] = []
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    return wrong


def faults(wrong: list[str]) -> list[str]:
    """Whoever goes on while the page asks for something breaks that off: no fault."""
    return [words for words in wrong if not words.startswith(("htmx:sendAbort", "htmx:afterReq"))]


# ---- A whole installation ----


@pytest.fixture
def installation(tmp_path) -> Iterator[Installation]:
    """One of its own, before anybody has signed up."""
    with started(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def shared_installation(tmp_path_factory) -> Iterator[Installation]:
    """One that several walks share, since each start takes a while: everybody brings a goal."""
    with started(tmp_path_factory.mktemp("shared_installation")) as made:
        yield made
