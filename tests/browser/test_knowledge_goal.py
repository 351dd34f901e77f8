"""Somebody with a handbook and questions about it: the advice says documents before anything is
measured, and the measurement then says the same. Everything is real; the handbook is made up."""

import csv
import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests.browser.person import MINUTES, Person

HANDBOOK = Path(settings.BASE_DIR) / "benchmarks" / "handbook"
ANSWERS = [
    "It does not know our facts",
    "Yes, but it lacks the facts",
    "Every month or so",
    "Yes, it has to name its source",
    "Dozens or more",
]

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def questions(folder: Path) -> Path:
    path = folder / "questions.csv"
    rows = [json.loads(line) for line in (HANDBOOK / "questions.jsonl").read_text().splitlines()]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("question", "answer"), *((row["question"], row["answer"]) for row in rows)]
        )
    return path


def test_the_advice_says_documents_and_so_does_the_measurement(installation, new_context, tmp_path):
    mara = Person.arrives(new_context(), installation.address)
    mara.signs_up()
    states_the_goal(mara)
    for words in ANSWERS:
        mara.page.locator(".choice", has_text=words).first.click()
        mara.page.locator("#next button.primary").click()
        mara.page.wait_for_load_state()
    while mara.page.locator("form#question").count():
        skip = mara.page.get_by_role("button", name="Skip this one")
        if not skip.is_visible():
            mara.click("^More$", where="#next")
        skip.click()
        mara.page.wait_for_load_state()
    letter = mara.reads("main")
    print("\n" + letter.split("\n")[0])
    mara.photograph("knowledge-letter")
    assert "documents" in letter.lower()
    mara.page.locator("#next button.primary").click()  # takes the advice: the rail follows it
    mara.page.wait_for_load_state()

    goal = re.search(r"(.*/goals/\d+/)", mara.page.url)
    assert goal is not None
    mara.page.goto(goal[1] + "dataset/")
    mara.brings_a_file(questions(tmp_path))
    mara.takes_the_starter()
    mara.page.goto(goal[1] + "documents/")
    mara.page.locator("input[type=file]").set_input_files(sorted((HANDBOOK / "pages").iterdir()))
    ready = mara.page.locator("#live:not([hx-get])")
    expect(ready).to_be_attached(timeout=5 * MINUTES)
    mara.photograph("knowledge-documents")

    mara.page.goto(goal[1] + "evaluation/?new")
    mara.photograph("knowledge-compare")
    mara.click("^Compare methods", where="#next")
    verdict = mara.page.locator("#verdict")
    failed = mara.page.locator("#live [role=alert]")
    expect(verdict.or_(failed).first).to_be_visible(timeout=20 * MINUTES)
    assert verdict.count(), failed.inner_text()
    mara.photograph("knowledge-verdict")
    print(mara.reads("#verdict"), mara.reads("#conclusion"), sep="\n")
    print(mara.reads("[aria-labelledby=h-methods] table"))
    assert "Searching your documents is worth the work" in mara.reads("#conclusion")

    mara.page.get_by_text("Where it looked this up").first.click()
    mara.page.locator(".cites a").first.click()
    expect(mara.page.locator("mark").first).to_be_in_viewport()
    mara.photograph("knowledge-citation")


def states_the_goal(mara: Person) -> None:
    mara.click("^Start$")
    mara.type("What should the model do", "Answer questions about our dough prover.")
    mara.type("A short name", "Ask the handbook")
    kind = mara.page.get_by_role("radio", name=re.compile("^Answers from our own documents"))
    if kind.count():
        kind.check()
    mara.page.get_by_label("When I write").first.fill("How many trays fit?")
    mara.page.get_by_label("it should answer").first.fill("18 trays")
    mara.click("Save and continue")
    mara.photograph("knowledge-measure")
    mara.click("Use this measure")
