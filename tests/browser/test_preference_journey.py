"""Preference tuning as a person does it: choose between two answers, train on the choices, vote.

Everything is real, as in test_journey. The person likes it short.
"""

import csv
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.person import MINUTES, Person, photograph, seconds_since

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]

NOTICED = 0.8  # of the other answer's words, at most: a smaller difference is not noticed
TOOLS = re.findall(
    r"\w+",
    """
    hammer saw drill chisel plane file rasp clamp vice level square mallet pliers wrench
    spanner screwdriver awl crowbar axe spade rake hoe shovel trowel shears sickle scythe
    ladder broom mop bucket sponge kettle pan wok ladle whisk sieve grater peeler corkscrew
    funnel scale oven mixer needle thimble loom iron scissors tape compass ruler pencil eraser
    stapler stamp lamp torch candle lantern bell whistle rope anchor oar sail tent
""",
)
QUESTIONS = ("What is a {} for?", "Who invented the {}?")
GOAL = {
    "what": "Answer questions about tools, briefly.",
    "name": "Brief answers",
    "prompt": "What is a hammer for?",
    "answer": "For driving nails.",
    "measure": "A person's blind choice",
}


def questions(folder: Path) -> Path:
    path = folder / "questions.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        for tool in TOOLS:
            for question in QUESTIONS:
                writer.writerow([question.format(tool), f"Look it up under {tool}."])
    return path


def words(answer: Locator) -> int:
    return len(answer.inner_text().split())


def shorter(person: Person) -> str:
    """The key to press: 1 for A, 2 for B, 3 for about the same (or neither)."""
    papers = person.page.locator(".ballot .paper > div")
    a, b = words(papers.nth(0)), words(papers.nth(1))
    return "1" if a <= NOTICED * b else "2" if b <= NOTICED * a else "3"


def chooses_until_the_end(person: Person, end: Locator) -> int:
    """How often they had a choice to make."""
    page, chosen = person.page, 0
    ballot = page.locator("#ballot")
    while True:
        expect(ballot.or_(end).first).to_be_visible(timeout=5 * MINUTES)
        if end.count():
            return chosen
        key, before = shorter(person), page.locator("#ballot input[name=pair]").input_value()
        page.keyboard.press(key)
        chosen += key != "3"
        gone = page.locator(f'#ballot input[name=pair][value="{before}"]')
        expect(gone).to_have_count(0)


def test_from_choices_to_a_model_that_people_prefer(installation, new_context, tmp_path):
    began = time.monotonic()
    mara = Person.arrives(new_context(), installation.address)
    mara.signs_up()
    mara.brings_a_goal(**GOAL)
    mara.brings_a_file(questions(tmp_path))
    mara.takes_the_starter()

    goal = re.search(r"/goals/(\d+)/", mara.page.url).group(0)
    home = installation.address.split("/set-up")[0]
    mara.page.goto(f"{home}{goal}dataset/choices/")
    mara.page.get_by_label("How many prompts").select_option("80")
    mara.click("Write two answers each")
    mara.page.get_by_role("link", name="Choose", exact=True).click(timeout=10 * MINUTES)
    end = mara.page.get_by_role("heading", name=re.compile(r"choices? made"))
    chosen = chooses_until_the_end(mara, end)
    print(f"\n{chosen} choices made: {seconds_since(began):.0f} s")
    photograph(mara.page, "preferences-end")
    mara.click("^Freeze version")

    expect(mara.page.get_by_text(re.compile(r"\d+ pairs of answers"))).to_be_visible()
    photograph(mara.page, "preferences-launch")
    mara.trains()
    mara.waits_until_trained(minutes=40)
    print(f"trained: {seconds_since(began):.0f} s", mara.reads("#live"), sep="\n")
    photograph(mara.page, "preferences-trained")

    mara.click("^Evaluate$", where="#next")
    mara.page.wait_for_url("**/vote/", timeout=20 * MINUTES)
    chooses_until_the_end(mara, mara.page.get_by_role("button", name="Count the votes"))
    mara.click("Count the votes")
    photograph(mara.page, "preferences-verdict")
    level, said = mara.verdict()
    print(f"verdict: {seconds_since(began):.0f} s", level, said, sep="\n")
    assert "worse" not in level
