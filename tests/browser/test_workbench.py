"""Somebody who only wants better instructions: write, show, try, keep, change, compare, talk.

Everything is real: the installation, its engine with the starter model, Chromium.
"""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import faults, listen
from tests.browser.person import ANSWER, MINUTES, Person, seconds_since
from tests.browser.workbench_steps import keeps, writes

FIRST = "Sort each email of a bicycle shop."
SECOND = "Sort each email of a bicycle shop. Answer in the same lines as the examples."
SCORE = re.compile(r"^\s*(\d+) of (\d+) right\s*$")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_instructions_are_written_tried_kept_and_compared(shared_installation, new_context):
    mara = Person.comes_in(new_context(), shared_installation)
    mara.click("Try it with sample data")
    mara.click("^Instructions", where=".method-tabs")
    wrong = listen(mara.page)

    writes(mara, FIRST)
    mara.page.get_by_label("Instructions").press_sequentially(" ")  # and off at once
    mara.page.goto(mara.page.url.replace("/instructions/", "/dataset/"))
    mara.page.goto(mara.page.url.replace("/dataset/", "/instructions/"))
    expect(mara.page.get_by_label("Instructions")).to_have_value(re.compile(f"{FIRST} "))
    writes(mara, FIRST)

    began = time.monotonic()
    bare = tries(mara)
    print(f"\n{bare[0]} of {bare[1]} right with words alone, in {seconds_since(began):.0f} s")
    keeps(mara)

    mara.click("^Pick by similarity")
    expect(mara.page.locator("#shots .shots > li")).to_have_count(4)
    writes(mara, SECOND)
    began = time.monotonic()
    shown = tries(mara)
    print(f"{shown[0]} of {shown[1]} right with four examples, in {seconds_since(began):.0f} s")
    mara.photograph("workbench")
    keeps(mara)

    versions = mara.page.locator("#versions .kept > li")
    expect(versions).to_have_count(2)
    expect(versions.first).to_contain_text(f"{shown[0]} of {shown[1]} right")
    expect(versions.last).to_contain_text(f"{bare[0]} of {bare[1]} right")
    versions.last.get_by_role("link", name=re.compile("^Compare")).click()
    mara.page.get_by_label(re.compile("beside$")).select_option(label="version 2")
    expect(mara.page.locator(".diff ins")).to_have_text(
        " Answer in the same lines as the examples."
    )
    expect(mara.page.locator(".shots > li")).to_have_count(4)
    mara.photograph("workbench-compare")

    mara.click("^Continue from version 1")
    expect(mara.page.get_by_label("Instructions")).to_have_value(FIRST)
    expect(mara.page.locator("#tries .score [role=status]")).to_have_text(SCORE)  # not asked again

    mara.click("^Chat with it")
    heard = talks(mara, "My front light stopped working. Can you look at it on Friday?")
    assert all(heard.values()), heard
    mara.photograph("workbench-chat")
    assert faults(wrong) == []


def tries(mara: Person) -> tuple[int, int]:
    """Press once; the page goes on by itself until all practice prompts were asked."""
    mara.click("^Try it$")
    status = mara.page.locator("#tries .score [role=status]")
    expect(status).to_have_text(SCORE, timeout=10 * MINUTES)
    found = SCORE.match(status.inner_text())
    assert found
    assert int(found[2]) == 12
    expect(mara.page.locator(".tried-on tbody tr")).to_have_count(12)
    return int(found[1]), int(found[2])


def talks(mara: Person, question: str) -> dict[str, str]:
    mara.type("Your question", question)
    mara.click("^Ask$")
    some_words = mara.page.locator(".answer-column.writing p", has_text=re.compile(r"\S"))
    expect(some_words.first).to_be_visible(timeout=2 * MINUTES)  # seen as they come
    expect(mara.page.locator(".answer-column.writing")).to_have_count(0, timeout=5 * MINUTES)
    assert mara.page.locator("#chat-error").is_hidden(), mara.reads("#chat-error")
    sides = mara.page.locator(".answer-column").all()
    return {
        one.get_attribute("data-column") or "": one.locator(ANSWER).first.inner_text()
        for one in sides
    }
