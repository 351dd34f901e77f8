"""The letter takes in what was measured, and changes where that disagrees."""

import html

import pytest

from finetune_app.evaluation import services
from tests import journey
from tests.guide.wizard.conftest import READY


def read(browser, address: str) -> str:
    return " ".join(html.unescape(browser.get(address).content.decode()).split())


@pytest.fixture
def trained(goal, owner):
    return journey.trained(journey.ready(goal, owner), owner)


def test_before_an_evaluation_nothing_was_measured(as_viewer, advised, url):
    advised(**READY)
    assert "What was measured here" not in read(as_viewer, url("advice"))


def test_what_agrees_stands_beside_the_advice(as_viewer, trained, owner, advised, url):
    advised(**READY)  # "Teach a model."
    journey.evaluated(trained, owner)
    page = read(as_viewer, url("advice"))
    assert "<h1>Teach a model.</h1>" in page
    assert "What was measured here" in page
    assert "Better at your task" in page
    assert "says otherwise" not in page


def test_where_a_prompt_does_it_the_headline_changes(as_viewer, trained, owner, advised, url):
    advised(**READY)

    def a_prompt_is_enough(prompt, kind):
        return (prompt.wanted, True) if kind in ("prompt", "tuned") else ("no", False)

    journey.evaluated(trained, owner, say=a_prompt_is_enough, instructions="Sort it.")
    page = read(as_viewer, url("advice"))
    assert "<h1>Measured here: better instructions.</h1>" in page
    assert "we had said: “Teach a model.” What was measured says otherwise" in page
    letter = page[page.index('<article class="letter">') : page.index("</article>")]
    assert "<b>Instructions.</b>" not in letter  # tried meanwhile, so not "not yet"


@pytest.mark.parametrize("prompt", [{}, {"instructions": "Sort it."}])
def test_where_repeating_the_question_does_it_no_model_is_needed(
    as_viewer, trained, owner, advised, url, prompt
):
    """The headline does not deny that the tuned model is better. Two take part, or three."""
    advised(**READY)
    evaluation = journey.evaluated(trained, owner, **prompt)
    right = [
        {"index": row.index, "text": row.prompt, "passed": True, "score": 1.0, "why": "As wanted"}
        for row in evaluation.comparisons.all()
    ]
    services.store_trivial_answers(evaluation, {"baseline": "repeat", "answers": right})
    services.store_verdict(evaluation)
    page = read(as_viewer, url("advice"))
    assert "<h1>Measured here: nothing beats an answer that needs no model.</h1>" in page
    assert "Repeating the question" in page


def test_where_the_base_model_does_it_nothing_is_better(as_viewer, trained, owner, advised, url):
    advised(**READY)
    journey.evaluated(trained, owner, say=lambda prompt, kind: ("x", kind == "base"))
    page = read(as_viewer, url("advice"))
    assert "<h1>Measured here: nothing is better than the base model.</h1>" in page


def test_what_could_be_chance_changes_no_headline(as_viewer, trained, owner, advised, url):
    advised(**READY)

    def one_is_better(prompt, kind):
        return ("x", kind == "tuned" and prompt.index == 0)

    journey.evaluated(trained, owner, say=one_is_better)
    page = read(as_viewer, url("advice"))
    assert "<h1>Teach a model.</h1>" in page
    assert "Too few to tell." in page
