"""Somebody at the screen: they click, they type, they read. Nothing else reaches the app."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import BrowserContext, Download, Page, expect

if TYPE_CHECKING:
    from tests.installation import Installation

EMAIL = "mara@kettle.example"
PASSWORD = "correct horse battery"
MINUTES = 60_000.0  # Playwright counts in milliseconds
SHOTS = os.environ.get("FINETUNE_SHOTS")


def photograph(page: Page, name: str) -> None:
    """The whole page into FINETUNE_SHOTS: wide and narrow, light and dark."""
    if not SHOTS:
        return
    Path(SHOTS).mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    for width, height in ((1280, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.wait_for_timeout(250)  # colours change in a moment
            page.screenshot(
                path=Path(SHOTS) / f"{name}-{width}-{scheme}.png", full_page=True, caret="initial"
            )  # hiding it takes a style that our policy forbids
    if before:
        page.set_viewport_size(before)
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")


# Within a column of the chat: lines become a small ledger. The thought above it is no answer.
ANSWER = ":scope > p, :scope > dl"


@dataclass
class Person:
    context: BrowserContext
    page: Page

    @classmethod
    def arrives(cls, context: BrowserContext, address: str) -> Person:
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.goto(address)
        return cls(context, page)

    # ---- Small things ----

    def click(self, words: str, *, where: str = "body") -> None:
        """A link or a button, by what it says."""
        role = self.page.locator(where)
        button = role.get_by_role("button", name=re.compile(words))
        link = role.get_by_role("link", name=re.compile(words))
        button.or_(link).first.click()
        self.page.wait_for_load_state()

    def type(self, label: str, words: str) -> None:
        self.page.get_by_label(re.compile(label)).first.fill(words)

    def reads(self, selector: str = "main") -> str:
        return self.page.locator(selector).first.inner_text()

    def photograph(self, name: str) -> None:
        """Into FINETUNE_SHOTS, when somebody wants to see the pages."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png")

    def closes_the_page(self) -> str:
        address = self.page.url
        self.page.close()
        return address

    def opens(self, address: str) -> None:
        self.page = self.context.new_page()
        self.page.goto(address)

    # ---- The path ----

    @classmethod
    def comes_in(cls, context: BrowserContext, shared_installation: Installation) -> Person:
        """Into a shared_installation where somebody may have signed up before."""
        person = cls.arrives(context, shared_installation.address)
        if person.page.get_by_label("Your team").count():
            person.signs_up()
            return person
        person.page.goto(shared_installation.address.split("/set-up")[0])
        person.type("E-mail address", EMAIL)
        person.type("Password", PASSWORD)
        person.click("^Sign in$")
        return person

    def signs_up(self) -> None:
        self.type("E-mail address", EMAIL)
        self.type("Your name", "Mara")
        self.type("Password", PASSWORD)
        self.type("Your team", "Kettle Lane Cycles")
        self.click("Create my account")

    def brings_a_goal(
        self, *, what: str, name: str, prompt: str, answer: str, measure: str
    ) -> None:
        """Step 1, with the measure named by its label."""
        self.click("^(Start|New goal)$")
        self.type("What should the model do", what)
        self.type("A short name", name)
        self.page.get_by_label("When I write").first.fill(prompt)
        self.page.get_by_label("it should answer").first.fill(answer)
        self.click("Save and continue")
        self.page.get_by_role("radio", name=re.compile(f"^{measure}")).check()
        self.click("Use this measure")
        self.click("^Training$", where="main")  # they know what they want: no questions
        expect(self.page.locator("input[type=file]").first).to_be_visible()

    def brings_a_file(self, path: Path) -> None:
        """Step 2: look at it, add it, freeze it."""
        self.page.locator("input[type=file]").first.set_input_files(path)
        self.click("Look at it")
        add = self.page.get_by_role("button", name=re.compile(r"^Add [\d,]+ example"))
        add.click(timeout=2 * MINUTES)
        self.page.get_by_role("link", name="To the examples").click(timeout=2 * MINUTES)
        self.page.wait_for_load_state()
        while (fix := self.must_be_fixed()).count():
            fix.first.click()
            self.page.wait_for_load_state()
        self.click("^Freeze version")
        self.click("Choose a base model", where="#next")

    def takes_the_starter(self) -> None:
        """Step 3: it is the only one installed, so it is chosen already."""
        self.click("^Use ", where="#next")

    def must_be_fixed(self) -> Any:
        """The fix buttons of findings that block a version."""
        findings = self.page.locator(".findings li", has_text="Must be fixed")
        return findings.locator("form button")

    def trains(self, *, passes: int | None = None) -> None:
        """With the automatic settings, or at most so many passes, set in the drawer."""
        if passes:
            self.page.locator("#start summary").click()
            self.page.get_by_label("Passes over the examples").fill(str(passes))
        self.click("^Train$")
        expect(self.page).to_have_title(re.compile("learning|start|ready", re.I))

    def sees_it_learn(self) -> None:
        """The curve with its first steps, and what it says now to a practice prompt."""
        steps = self.page.locator("#live .facts", has_text=re.compile(r"step [1-9]"))
        expect(steps.first).to_be_visible(timeout=5 * MINUTES)
        for seen in ("[aria-labelledby=h-loss] svg", ".says li:not(.wanted)"):
            expect(self.page.locator(seen).first).to_be_visible(timeout=5 * MINUTES)

    def waits_until_trained(self, minutes: float) -> None:
        evaluate = self.page.locator("#next button", has_text="Evaluate")
        failed = self.page.locator("#live [role=alert]")
        enabled = self.page.locator("#next button:not([disabled])", has_text="Evaluate")
        expect(evaluate.first).to_be_visible()
        expect(enabled.or_(failed).first).to_be_visible(timeout=minutes * MINUTES)
        assert not failed.count(), failed.inner_text()

    def evaluates(self, minutes: float) -> None:
        self.click("^Evaluate$", where="#next")
        verdict = self.page.locator("#verdict")
        failed = self.page.locator("#live [role=alert]")
        expect(verdict.or_(failed).first).to_be_visible(timeout=minutes * MINUTES)
        assert verdict.count(), failed.inner_text()

    def walks_to_the_verdict(self, goal: dict[str, str], file: Path) -> tuple[str, str]:
        """From sign-up, with another's data; returns (level, the words)."""
        began = time.monotonic()
        self.signs_up()
        self.brings_a_goal(**goal)
        self.brings_a_file(file)
        self.takes_the_starter()
        self.trains()
        self.sees_it_learn()
        self.waits_until_trained(minutes=40)
        print(f"\n{file.name}: sign-up to trained: {seconds_since(began):.0f} s")
        self.evaluates(minutes=30)
        level, words = self.verdict()
        print(f"{file.name}: sign-up to verdict: {seconds_since(began):.0f} s", words, sep="\n")
        print(*(f"{name}: {share:.0%}" for name, share in self.right().items()), sep="\n")
        return level, words

    # ---- What they read ----

    def verdict(self) -> tuple[str, str]:
        """(level, the words)."""
        level = self.page.locator("#verdict").get_attribute("data-level") or ""
        return level, self.reads("#verdict").replace("\n", " ")

    def right(self) -> dict[str, float]:
        """The share of prompts that each candidate gets right, from the page's own figures."""
        total = int(self.page.locator(".filters a", has_text="All").locator("span").inner_text())
        names = self.page.locator(".whisk > span:not(.num)").all_inner_texts()
        values = self.page.locator(".whisk > .num b").all_inner_texts()
        pairs = zip([name for name in names if name.strip()], values, strict=True)
        of = total if "How many of" in self.reads() else 100
        return {name: float(value) / of for name, value in pairs}

    # ---- Afterwards ----

    def asks(self, question: str) -> tuple[str, str]:
        """What base and tuned answer in the chat; the words are seen as they come."""
        self.click("Chat with both", where="#next")
        self.type("Your question", question)
        self.click("^Ask$")
        some_words = self.page.locator(".answer-column.writing p", has_text=re.compile(r"\S"))
        expect(some_words.first).to_be_visible(timeout=2 * MINUTES)
        expect(self.page.locator(".answer-column.writing")).to_have_count(0, timeout=5 * MINUTES)
        assert self.page.locator("#chat-error").is_hidden(), self.reads("#chat-error")
        said = {}
        for lane in ("base", "tuned"):
            voice = self.page.locator(f"[data-column={lane}]").last
            said[lane] = voice.locator(ANSWER).first.inner_text()
        return said["base"], said["tuned"]

    def downloads_the_adapter(self) -> Download:
        self.page.locator("#rail").get_by_role("link", name=re.compile("Deployment")).click()
        self.page.wait_for_load_state()
        with self.page.expect_download() as found:
            self.page.get_by_role("link", name="Download the adapter").click()
        return found.value

    def deletes_the_goal(self) -> None:
        self.page.locator("#rail").get_by_role("link", name=re.compile("Goal")).click()
        self.page.wait_for_load_state()
        self.click("Delete this goal")
        self.click("Delete everything in it")
        expect(self.page.get_by_text("is deleted").first).to_be_visible()


def seconds_since(moment: float) -> float:
    return time.monotonic() - moment
