"""Goals to begin with: every use people have in mind, a click away."""

import html

import pytest
from django.urls import reverse

from finetune_app.goals.examples import by_kind, start_of, starts
from finetune_app.goals.forms import PAIRS, GoalForm
from finetune_app.goals.measures import get_measure, propose
from finetune_app.goals.models import Goal, GoalKind

NEW = reverse("goals:new")
EVERY = pytest.mark.parametrize("start", starts(), ids=lambda start: start.slug)


def page(browser, query: str = "") -> str:
    reply = browser.get(NEW + query)
    assert reply.status_code == 200
    return html.unescape(reply.content.decode())


def test_every_use_is_there():
    assert [start.slug for start in starts()] == [
        "brand-voice",
        "famous-author",
        "formal-tone",
        "json",
        "xml",
        "bash",
        "legal",
        "medical",
        "finance",
        "chain-of-instructions",
        "concise",
        "handbook",
    ]
    assert {start.kind for start in starts()} == set(GoalKind.values)
    assert len(by_kind()) == len(GoalKind)


@EVERY
def test_it_fills_a_form_that_can_be_saved(start):
    form = GoalForm(start.initial())
    assert form.is_valid(), form.errors
    assert 2 <= len(form.pairs()) <= PAIRS
    assert form.pairs() == list(start.pairs)
    assert len(start.title) <= 40
    assert len(start.name) <= 50
    assert start.description.endswith((".", ")."))


@EVERY
def test_its_words_lead_to_the_measure_it_names(start):
    found = propose(start.description, start.kind, start.pairs)
    assert found.kind == start.measure


@EVERY
def test_its_own_answers_are_right_by_that_measure(start):
    found = propose(start.description, start.kind, start.pairs)
    measure = get_measure(found.kind, found.settings)
    if start.measure == "choice":
        return  # a person decides
    for pair in start.pairs:
        assert measure.check(pair["answer"], pair["answer"]).passed


@EVERY
def test_its_link_fills_the_form(as_editor, start):
    shown = page(as_editor, f"?example={start.slug}")
    assert f'value="{start.name}"' in shown
    assert start.description in shown
    for pair in start.pairs:
        assert pair["prompt"] in shown
        assert pair["answer"] in shown
    assert f"Filled in from “{start.title}”" in shown


def test_the_empty_form_links_to_all_of_them(as_editor):
    shown = page(as_editor)
    for start in starts():
        assert f'href="?example={start.slug}"' in shown
    assert "Filled in from" not in shown


def test_an_unknown_example_is_an_empty_form(as_editor):
    assert 'name="name" value' not in page(as_editor, "?example=magic")
    assert start_of("magic") is None


def test_what_was_filled_in_can_be_changed_and_saved(as_editor):
    typed = start_of("json").initial() | {"name": "Orders of ours"}
    as_editor.post(f"{NEW}?example=json", typed)
    goal = Goal.objects.get()
    assert (goal.name, goal.kind, goal.measure) == ("Orders of ours", "format", "json")


def test_an_existing_goal_offers_no_examples(as_editor, goal):
    shown = as_editor.get(reverse("goals:edit", args=[goal.pk])).content.decode()
    assert "?example=" not in shown
