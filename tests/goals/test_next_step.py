"""What the page of a goal leads to next: of a prompt to the questions it is tested with."""

import html

import pytest
from django.urls import reverse

from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.candidates import services as candidates
from finetune_app.goals import services
from tests import journey
from tests.page_text import compact


@pytest.fixture
def goal(goal):
    """A goal after step 1."""
    return services.choose_measure(goal=goal, kind="exact", settings={})


def next_bar(browser, goal) -> str:
    page = compact(
        html.unescape(browser.get(reverse("goals:page", args=[goal.pk])).content.decode())
    )
    return page[page.index('<aside class="next"') :]


def assert_next(browser, goal, sentence: str, verb: str, page: str) -> None:
    bar = next_bar(browser, goal)
    assert f"<b>Next:</b>{sentence}</p>" in bar
    assert f'href="{reverse(page, args=[goal.pk])}">{verb}</a>' in bar


def test_a_prompt_leads_to_its_questions_the_workbench_and_the_evaluation(as_editor, goal, owner):
    services.choose_method(goal=goal, method="prompt")
    some = "about 20 questions to test it with"
    assert_next(as_editor, goal, some, "Write questions", "datasets:page")
    journey.freeze(goal, owner).delete()
    assert_next(as_editor, goal, "the questions it is tested with", "Check them", "datasets:page")
    journey.freeze(goal, owner)
    model = "choose the model to start from"
    assert_next(as_editor, goal, model, "Choose a model", "basemodels:page")
    base = journey.install()
    BaseModelChoice.objects.create(goal=goal, base_model=base, chosen_by=owner)
    write = "write instructions, and see what they do"
    assert_next(as_editor, goal, write, "Write them", "candidates:workbench")
    made = candidates.prompt_candidate(goal=goal, base_model=base, instructions="Sort.", shots=[])
    made.saved = True
    made.save()
    test = "see how it does on prompts it has never seen"
    assert_next(as_editor, goal, test, "Evaluate", "evaluation:page")


def test_a_search_leads_to_its_documents_first(as_editor, goal):
    services.choose_method(goal=goal, method="rag")
    documents = "add the documents it looks things up in"
    assert_next(as_editor, goal, documents, "Add documents", "knowledge:page")


def test_without_a_measure_a_prompt_leads_to_it(as_editor, goal):
    services.choose_method(goal=goal, method="prompt")
    goal.measure = ""
    goal.save()
    assert_next(as_editor, goal, "how you will know that it worked", "Decide", "goals:measure")


@pytest.mark.parametrize("measure", ["exact", ""])
def test_a_viewer_of_a_prompt_is_led_to_its_questions(as_viewer, goal, measure):
    """A viewer may not choose a measure, nor write instructions."""
    services.choose_method(goal=goal, method="prompt")
    goal.measure = measure
    goal.save()
    questions = "the questions it is tested with"
    assert_next(as_viewer, goal, questions, "To the questions", "datasets:page")


@pytest.mark.parametrize("method", ["fine_tune", "rag_then_fine_tune"])
def test_a_training_leads_to_the_examples_it_learns_from(as_editor, goal, method):
    services.choose_method(goal=goal, method=method)
    examples = "the examples it learns from"
    assert_next(as_editor, goal, examples, "To the dataset", "datasets:page")
