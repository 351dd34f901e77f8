"""Somebody who opens page after page and lets axe look at each, in every size and theme."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from django.http import HttpResponseBase
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import listen
from tests.browser.person import SHOTS

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
TWO_LOOKS = [(WIDE, "light"), (NARROW, "dark")]
FOUR_LOOKS = [(WIDE, "light"), (WIDE, "dark"), (NARROW, "dark"), (NARROW, "light")]
AXE = Axe()
ONE_USE = re.compile(rb'csrfmiddlewaretoken" value="[^"]*"|X-CSRFToken": "[^"]*"')


class Looker:
    """Opens pages, remembers what it saw, and collects what is wrong with them."""

    def __init__(self, context: BrowserContext, server: str, looks: list[Any]) -> None:
        self.context, self.server, self.looks = context, server, looks
        self.in_turn = looks is TWO_LOOKS
        self.page: Page = context.new_page()
        self.console = listen(self.page)
        self.seen: set[int] = set()
        self.wrong: list[str] = []
        self.looked_at = 0

    def is_new(self, response: HttpResponseBase) -> bool:
        """A page in HTML with content that was not looked at before."""
        if response.streaming or "text/html" not in response.get("Content-Type", ""):
            return False
        content = hash(ONE_USE.sub(b"", response.content))
        known = content in self.seen
        self.seen.add(content)
        return bool(response.content) and not known

    def visit(self, who: str, address: str) -> None:
        self.look(f"{address} as {who}", lambda: self.page.goto(self.server + address))

    def show(self, what: str, address: str, response: Any) -> None:
        """A page that was answered already, with its own headers, at its own address."""
        with self.answering(self.server + address, response):
            self.look(what, lambda: self.page.goto(self.server + address))

    @contextmanager
    def answering(self, url: str, response: Any) -> Iterator[None]:
        headers = dict(response.items())
        self.page.route(
            url, lambda route: route.fulfill(status=200, headers=headers, body=response.content)
        )
        yield
        self.page.unroute(url)

    def look(self, what: str, open_page: Callable[[], Any]) -> None:
        self.looked_at += 1
        self.console.clear()
        self.page.set_viewport_size(WIDE)
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        open_page()
        self.page.evaluate(AXE.axe_script)
        for size, light in self.looks:
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=light)
            where = f"{what}, {size['width']} wide, {light}"
            if not self.in_turn or self.looks[self.looked_at % len(self.looks)][0] is size:
                self.note(where, self.violations())
            self.photograph(where)
            width = self.page.evaluate("document.documentElement.scrollWidth")
            if width > size["width"]:
                self.note(where, [f"scrolls sideways: {width} px"])
        self.note(what, [f"console: {words}" for words in self.console])

    def photograph(self, where: str) -> None:
        """Into FINETUNE_SHOTS, when somebody wants to see the pages."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            name = re.sub(r"[^a-z0-9]+", "-", f"{self.looked_at:02} {where}".lower())
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)

    def violations(self) -> list[str]:
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['help']}: {node['target']} {node['html'][:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def note(self, where: str, problems: list[str]) -> None:
        self.wrong += [f"{where}: {problem}" for problem in problems]

    def assert_all_well(self, at_least: int) -> None:
        print(self.looked_at, "pages")
        assert self.looked_at >= at_least, f"only {self.looked_at} pages were found"
        assert not self.wrong, "\n".join(dict.fromkeys(self.wrong))
