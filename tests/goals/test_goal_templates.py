"""Templates that fill in the form of a new goal."""

import html

import pytest
from django.urls import reverse

from finetune_app.goals.forms import PAIR_COUNT, GoalForm
from finetune_app.goals.goal_templates import (
    find_goal_template,
    goal_templates,
    goal_templates_by_kind,
)
from finetune_app.goals.measures import get_measure, propose
from finetune_app.goals.models import Goal, GoalKind

NEW = reverse("goals:new")
each_template = pytest.mark.parametrize(
    "template", goal_templates(), ids=lambda template: template.slug
)


def page(browser, query: str = "") -> str:
    reply = browser.get(NEW + query)
    assert reply.status_code == 200
    return html.unescape(reply.content.decode())


def test_every_common_use_has_a_template():
    assert [template.slug for template in goal_templates()] == [
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
    assert {template.kind for template in goal_templates()} == set(GoalKind.values)
    assert len(goal_templates_by_kind()) == len(GoalKind)


@each_template
def test_a_template_fills_a_valid_form(template):
    form = GoalForm(template.initial())
    assert form.is_valid(), form.errors
    assert 2 <= len(form.pairs()) <= PAIR_COUNT
    assert form.pairs() == list(template.pairs)
    assert len(template.title) <= 40
    assert len(template.name) <= 50
    assert template.description.endswith((".", ")."))


@each_template
def test_the_description_of_a_template_proposes_its_measure(template):
    found = propose(template.description, template.kind, template.pairs)
    assert found.kind == template.measure


@each_template
def test_the_answers_of_a_template_pass_its_measure(template):
    found = propose(template.description, template.kind, template.pairs)
    measure = get_measure(found.kind, found.settings)
    if template.measure == "choice":
        return  # a person decides
    for pair in template.pairs:
        assert measure.check(pair["answer"], pair["answer"]).passed


@each_template
def test_the_link_of_a_template_fills_the_form(as_editor, template):
    shown = page(as_editor, f"?example={template.slug}")
    assert f'value="{template.name}"' in shown
    assert template.description in shown
    for pair in template.pairs:
        assert pair["prompt"] in shown
        assert pair["answer"] in shown
    assert f"Filled in from “{template.title}”" in shown


def test_the_empty_form_links_to_all_templates(as_editor):
    shown = page(as_editor)
    for template in goal_templates():
        assert f'href="?example={template.slug}"' in shown
    assert "Filled in from" not in shown


def test_an_unknown_template_gives_an_empty_form(as_editor):
    assert 'name="name" value' not in page(as_editor, "?example=magic")
    assert find_goal_template("magic") is None


def test_a_filled_form_can_be_changed_and_saved(as_editor):
    typed = find_goal_template("json").initial() | {"name": "Orders of ours"}
    as_editor.post(f"{NEW}?example=json", typed)
    goal = Goal.objects.get()
    assert (goal.name, goal.kind, goal.measure) == ("Orders of ours", "format", "json")


def test_the_form_of_an_existing_goal_offers_no_templates(as_editor, goal):
    shown = as_editor.get(reverse("goals:edit", args=[goal.pk])).content.decode()
    assert "?example=" not in shown
