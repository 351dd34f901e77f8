"""The rail: six steps, each with its result."""

import pytest

from finetune_app.goals.models import Goal
from finetune_app.guide.rail import rail, step_of
from tests import journey
from tests.routes import ROUTES


def steps(goal, app="goals"):
    return rail(Goal.objects.get(pk=goal.pk), app)


def test_a_new_goal_shows_the_purpose_of_each_step(goal):
    found = steps(goal)
    assert [step.number for step in found] == [1, 2, 3, 4, 5, 6]
    assert found[0].state == "now"
    assert {step.state for step in found[1:]} == {"todo"}
    assert found[1].fact == "What it learns from"


def test_each_finished_step_shows_its_result(goal, owner):
    journey.evaluated(journey.trained(journey.ready(goal, owner), owner), owner)
    facts = [step.fact for step in steps(goal, "evaluation")]
    assert facts[0] == "The exact answer"
    assert facts[1] == "60 examples, version 1"
    assert facts[2] == "Tiny"
    assert facts[3] == "Trained on version 1"
    assert facts[4].startswith("Better on ")
    states = [step.state for step in steps(goal, "evaluation")]
    assert states == ["done", "done", "done", "done", "now", "todo"]


@pytest.mark.parametrize(
    ("level", "fact"),
    [
        ("consistently_better", "Better on 41 of 60"),
        ("not_better_than_trivial", "No real gain"),
        ("worse", "Worse than before"),
    ],
)
def test_prompts_won_are_counted_only_where_that_is_the_verdict(goal, owner, level, fact):
    evaluation = journey.evaluated(journey.trained(journey.ready(goal, owner), owner), owner)
    evaluation.verdict |= {"level": level, "wins": 41, "ties": 12, "losses": 7}
    evaluation.save()
    assert steps(goal)[4].fact == fact


def test_every_step_can_be_opened(as_viewer, goal, owner):
    journey.ready(goal, owner)
    for step in steps(goal):
        assert as_viewer.get(step.url, follow=True).status_code == 200


def test_every_page_of_a_goal_belongs_to_a_step():
    below = [route for route in ROUTES if route.pattern.startswith("goals/<int:goal_id>/")]
    assert len(below) > 100
    assert [route.name for route in below if not step_of(route.name)] == []
