"""A real Chromium, and a real installation started with `manage.py up` for it to visit."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from finetune_app.jobs import places
from tests import starter
from tests.run import BROWSERS
from tests.worker.conftest import wait_for

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FOUND = next(filter(None, map(shutil.which, BROWSERS)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if {"installation", "house"} & set(getattr(item, "fixturenames", ())):
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


@dataclass(frozen=True)
class Installation:
    address: str  # with the one-time set-up code
    data_dir: Path

    def files_of_goals(self) -> list[str]:
        """Every file kept for a goal: uploads, versions, runs, evaluations."""
        kept = {"models", "logs", "static", "run", "secrets"}
        folders = [one for one in self.data_dir.iterdir() if one.is_dir() and one.name not in kept]
        found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        names = sorted(str(path.relative_to(self.data_dir)) for path in found)
        return [name for name in names if "general-cache" not in name]  # of the base model


@pytest.fixture
def installation(tmp_path) -> Iterator[Installation]:
    """One of its own, before anybody has signed up."""
    with started(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def house(tmp_path_factory) -> Iterator[Installation]:
    """One that several walks share, since each start takes a while: everybody brings a goal."""
    with started(tmp_path_factory.mktemp("house")) as made:
        yield made


@contextmanager
def started(tmp_path: Path) -> Iterator[Installation]:
    """`manage.py prepare`, then `manage.py up` on a free port, as `make run` does."""
    if not starter.is_there():
        pytest.skip(starter.WHY_NOT)
    data_dir = tmp_path / "data"
    starter.lay_into(data_dir)
    given = os.environ | {
        "DATA_DIR": str(data_dir), "PORT": str(free_port()), "DATABASE_URL": "", "REDIS_URL": "",
        "FINETUNE_TEST_KINDS": "", "LEASE_SECONDS": "15", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    given.pop("OMP_NUM_THREADS", None)  # trained as people train: on all cores
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "prepare"], cwd=settings.BASE_DIR, env=given, check=True)
    said = tmp_path / "up.txt"
    with said.open("w") as file:
        process = subprocess.Popen(
            [*manage, "up"], cwd=settings.BASE_DIR, env=given, stdout=file, stderr=file
        )
    try:
        address = wait_for(lambda: re.search(r"http://\S+", said.read_text()), seconds=120)
        yield Installation(address.group(0), data_dir)
    finally:
        alive = process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True) if alive else []
        process.send_signal(signal.SIGINT)  # as Ctrl-C does
        try:
            assert process.wait(30) == 0
            wait_for(lambda: all(places.start_of(one.pid) is None for one in family))
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
