"""A team makes its dataset: a messy file, a model's suggestions, two people, two versions, files.

Everything is real: the installation with its workers and the starter model, two browsers.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import faults, listen
from tests.browser.person import MINUTES, Person, photograph
from tests.browser.workbench_steps import keeps, writes
from tests.example_rows import pair
from tests.installation import Installation

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

TOPICS = ("puncture", "brakes", "saddle")
GOAL = {
    "what": "Say which part of the bicycle an email is about.",
    "name": "Which part?",
    "prompt": "My bell fell off in the rain.",
    "answer": "bell",
    "measure": "The exact answer",
}
ODD = {  # texts that a spreadsheet, or a careless import, would change
    "=SUM(A1:A9) is all that your invoice says. Which brakes did you charge me for?": "brakes",
    "NA": "saddle",
    "00712": "puncture",
    "He wrote: “größer”, and then\n\nnothing more; is that the saddle?": "saddle",
}
ANSWERED = {pair(n)[0]: TOPICS[n % 10] for n in range(60) if n % 10 < len(TOPICS)} | ODD
FIRST = next(iter(ANSWERED))
WAITING = [pair(n)[0] for n in (100, 101, 102, 110, 111)]


def messy(folder: Path) -> Path:
    """As an office exports: a title above, semicolons, Windows letters, long notes, empty lines."""
    made = io.StringIO()
    writer = csv.writer(made, delimiter=";", lineterminator="\r\n")
    writer.writerow(["Kettle Lane Cycles: Kundenpost", "", "", ""])
    writer.writerow(["Nr", "Kundentext", "Notiz", "Teil"])
    texts = [*ANSWERED.items(), *((text, "") for text in WAITING)]
    for number, (text, part) in enumerate(texts, 1):
        note = f"Telefonisch zurückgerufen, Vorgang {number}, bitte in der Werkstatt nachfragen"
        writer.writerow([f"K-{number:03}", text, note, part])
        if number % 9 == 0:
            made.write(";;;\r\n")
    made.write("K-999;a cell;too;many;are;here\r\n")
    path = folder / "kundenpost.csv"
    path.write_bytes(made.getvalue().encode("cp1252"))
    return path


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """A whole installation shares the machine with its own workers."""
    expect.set_options(timeout=MINUTES)
    yield
    expect.set_options(timeout=5_000)


def test_a_team_makes_its_dataset(shared_installation: Installation, new_context, tmp_path):
    mara = Person.comes_in(new_context(), shared_installation)
    wrong = listen(mara.page)
    mara.brings_a_goal(**GOAL)
    brings(mara, messy(tmp_path))
    candidate_is_made(mara)
    suggestions_are_asked_for(mara)
    expected = answers_with_suggestions(mara)
    jonas = joins(mara, new_context())
    expected |= two_people_answer(mara, jonas)
    freezes_twice_and_reads_the_difference(mara)
    downloads_and_compares(mara, ANSWERED | expected | {FIRST: "brakes"})
    assert faults(wrong) == []


def brings(mara: Person, file: Path) -> None:
    """The columns are not what they seem: the notes say most, and are no answers."""
    page = mara.page
    page.locator("input[type=file]").first.set_input_files(file)
    mara.click("Look at it")
    expect(page.locator("#columns")).to_be_attached(timeout=2 * MINUTES)
    photograph(page, "room-01-columns")
    unfold(page.locator("#columns"))
    page.get_by_label("What is asked").select_option("Kundentext")
    page.get_by_label("The answer to learn").select_option("Teil")
    expect(page.locator(".samples")).to_contain_text("puncture")
    unfold(page.locator("#rare"))
    page.get_by_label("The row’s own name or number").select_option("Nr")
    page.get_by_label("Rows without an answer").select_option("keep")
    count = len(ANSWERED) + len(WAITING)
    add = page.get_by_role("button", name="Add the examples")
    expect(add).to_be_visible()
    photograph(page, "room-02-mapped")
    add.click()
    came = page.get_by_role("heading", name=f"{count} examples were added.")
    expect(came).to_be_visible(timeout=2 * MINUTES)
    left_out = page.locator(".left-out")
    expect(left_out).to_contain_text("K-999")
    photograph(page, "room-03-came-in")
    mara.click("To the examples")
    expect(page.get_by_text(f"{len(WAITING)} rows wait for an answer.")).to_be_visible()
    photograph(page, "room-04-dataset")


def candidate_is_made(mara: Person) -> None:
    """A small model answers like this only when it is shown how: instructions and examples."""
    step(mara, "Base model")
    mara.click("^Use ", where="#next")
    mara.click("^Instructions$", where="main")
    writes(mara, "Name the part of the bicycle, in one word.")
    mara.click("^Pick by similarity")
    expect(mara.page.locator("#shots .shots > li")).to_have_count(4)
    keeps(mara)


def suggestions_are_asked_for(mara: Person) -> None:
    page = mara.page
    step(mara, "Dataset")
    mara.click("^Answer 5 rows")
    mara.click("^Let a model suggest answers")
    page.get_by_role("radio", name=re.compile("Instructions")).check(force=True)
    photograph(page, "room-05-who-suggests")
    mara.click("^Suggest answers$")
    done = page.get_by_text(re.compile(r"\d have a suggestion\."))
    expect(page.locator("#live[hx-trigger]")).to_have_count(0, timeout=5 * MINUTES)
    expect(done).to_be_visible()
    photograph(page, "room-06-suggested")


def answers_with_suggestions(mara: Person) -> dict[str, str]:
    """The first is accepted as it is, the second mended, the third refused and written anew."""
    page, box = mara.page, mara.page.locator("#text")
    mara.click("^Look at the suggestions")
    said, number = {}, len(ANSWERED) + 1
    at(page, number)
    expect(page.get_by_text("It counts only once you accept it.")).to_be_visible()
    photograph(page, "room-07-suggestion")
    said[WAITING[0]] = box.input_value()
    assert said[WAITING[0]]
    page.keyboard.press("Enter")
    at(page, number + 1)
    expect(box).not_to_have_value("")
    said[WAITING[1]] = f"{box.input_value()}; front"
    box.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("; front")
    page.keyboard.press("Control+Enter")
    at(page, number + 2)
    expect(box).not_to_have_value("")
    page.keyboard.press("r")
    expect(box).to_have_value("")
    page.keyboard.type("saddle")
    said[WAITING[2]] = "saddle"
    page.keyboard.press("Control+Enter")
    at(page, number + 3)
    return said


def joins(mara: Person, context: BrowserContext) -> Page:
    """Mara hands Jonas a link; he makes his account with it and finds the goal."""
    goal = mara.page.url
    mara.page.goto(re.sub(r"/goals/.*", "/team/", goal))
    mara.page.get_by_label("Invite somebody as").select_option("editor")
    mara.click("^Create a link$")
    link = mara.page.get_by_label("Invitation link").input_value()
    photograph(mara.page, "room-08-invited")
    jonas = Person.arrives(context, link)
    jonas.type("E-mail address", f"jonas{abs(hash(goal)) % 10**8}@kettle.example")
    jonas.type("Your name", "Jonas")
    jonas.type("Password", "correct horse battery")
    jonas.click("Create my account and join")
    jonas.click(re.escape(GOAL["name"]))  # which leads to what is to be done
    mara.page.goto(goal)
    return jonas.page


def two_people_answer(mara: Person, jonas: Page) -> dict[str, str]:
    """Neither sees the other's answer; on the first they agree, on the second they do not."""
    page = mara.page
    mara.click("^Use these buttons")
    mara.click("^Who answers what")
    page.get_by_label("Two people answer").select_option("100")
    page.get_by_role("button", name="Save", exact=True).click()
    photograph(page, "room-09-who-answers")
    first, second = WAITING[3:]
    step(mara, "Dataset")
    mara.click("^Answer 2 rows")
    jonas.reload()
    number = len(ANSWERED) + 4
    for one in (page, jonas):
        at(one, number)
        expect(one.get_by_text("neither sees the other’s answer")).to_be_visible()
    photograph(jonas, "room-10-blind")
    labels = page.locator(".key span").all_inner_texts()
    assert set(TOPICS) <= set(labels)
    page.keyboard.press("1")
    at(page, number + 1)
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="You have answered all your rows")).to_be_visible()
    photograph(page, "room-11-all-yours")
    jonas.keyboard.press("1")
    at(jonas, number + 1)
    jonas.keyboard.press("2")
    expect(jonas.get_by_text("1 disagreement is left to settle.")).to_be_visible()
    photograph(jonas, "room-12-disagreement-left")
    jonas.get_by_role("link", name="Settle them").click()
    at(jonas, number + 1)
    photograph(jonas, "room-13-settle")
    jonas.get_by_role("button", name="Take Jonas’s").click()
    expect(jonas.get_by_role("heading", name="This queue is empty.")).to_be_visible()
    jonas.goto(re.sub(r"/label/.*", "/label/together/", jonas.url))
    expect(jonas.get_by_text("The same answer on 1 of 2 rows.")).to_be_visible()
    photograph(jonas, "room-14-agreement")
    return {first: labels[0], second: labels[1]}


def freezes_twice_and_reads_the_difference(mara: Person) -> None:
    page = mara.page
    mara.click("^To the examples")
    while (fix := mara.must_be_fixed()).count():
        fix.first.click()
        page.wait_for_load_state()
    mara.click("^Freeze version 1")
    expect(page.get_by_role("heading", name="Version 1")).to_be_visible()
    photograph(page, "room-15-version")
    step(mara, "Dataset")
    page.locator("#row-1 td.prompt a").click()
    box = page.locator("#edit-1 textarea").last
    expect(box).to_have_value(ANSWERED[FIRST])
    box.fill("brakes")
    photograph(page, "room-16-row-open")
    page.locator("#row-1").get_by_role("button", name="Save").click()
    expect(page.locator("#row-1")).to_contain_text("brakes")
    mara.click("^Freeze version 2")
    expect(page.get_by_role("heading", name="Version 2")).to_be_visible()
    mara.click("^What is new since version 1")
    new = page.locator(".history.pairs > li")
    expect(new).to_have_count(1)
    expect(new.locator("del")).to_have_text(ANSWERED[FIRST])
    expect(new.locator("ins")).to_have_text("brakes")
    photograph(page, "room-17-difference")
    mara.click("^Version 2$", where="#next")


def downloads_and_compares(mara: Person, expected: dict[str, str]) -> None:
    """Two formats, both with every text as it was put in."""
    lines = [json.loads(line) for line in downloaded(mara.page, "JSON lines").splitlines()]
    said = {one["messages"][0]["content"]: one["messages"][1]["content"] for one in lines}
    assert said == expected
    table = csv.DictReader(io.StringIO(downloaded(mara.page, "CSV for a spreadsheet"), newline=""))
    cells = {row["prompt"]: row["answer"] for row in table}
    formula = next(iter(ODD))
    assert cells == {
        text if text != formula else f"'{text}": answer for text, answer in expected.items()
    }


def downloaded(page: Page, name: str) -> str:
    with page.expect_download() as found:
        page.get_by_role("link", name=name).click()
    return Path(found.value.path()).read_bytes().decode("utf-8-sig")


def at(page: Page, number: int) -> None:
    expect(page.locator("#which")).to_contain_text(f"No. {number}")


def step(person: Person, name: str) -> None:
    person.page.locator("#rail").get_by_role("link", name=re.compile(name)).first.click()
    person.page.wait_for_load_state()


def unfold(details: Locator) -> None:
    if details.get_attribute("open") is None:
        details.locator("summary").click()
