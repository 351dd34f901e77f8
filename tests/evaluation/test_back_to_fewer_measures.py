"""On the way to an older version, goals and evaluations lose what that one does not know."""

from importlib import import_module

import pytest
from django.apps import apps

from finetune_app.evaluation.models import TrivialAnswer
from finetune_app.goals import services as goals

STEPS = [
    import_module(f"finetune_app.{room}.migrations.{name}_back_to_fewer_measures")
    for room, name in (("evaluation", "0007"), ("goals", "0003"))
]


def way_back() -> None:
    for step in STEPS:
        step.without_new_measures(apps, None)


@pytest.mark.parametrize(
    ("kind", "chosen", "left", "chosen_left"),
    [
        ("number", {"tolerance": 2}, "", {}),
        ("rules", {"ease": "a story"}, "", {}),
        ("json", {"partial": True, "fields": ["a"]}, "json", {"fields": ["a"]}),
    ],
)
def test_a_goal_keeps_only_what_is_known_there(goal, kind, chosen, left, chosen_left):
    goals.choose_measure(goal=goal, kind=kind, settings=chosen)
    way_back()
    goal.refresh_from_db()
    assert goal.measure == left
    assert chosen_left.items() <= goal.measure_settings.items()
    assert not {"partial", "ease", "tolerance"} & goal.measure_settings.keys()


def test_rules_lose_the_new_ones(goal):
    goals.choose_measure(goal=goal, kind="rules", settings={"max_words": 9, "ease": "a story"})
    way_back()
    goal.refresh_from_db()
    assert goal.measure_settings["max_words"] == 9
    assert "ease" not in goal.measure_settings


def test_an_evaluation_by_a_new_measure_goes_and_others_stay(tested, owner):
    TrivialAnswer.objects.create(
        evaluation=tested, baseline="constant", index=0, passed=False, score=0.0
    )
    tested.verdict |= {"trivial": {"baseline": "constant"}}
    tested.measure_settings = {"ignore_case": True}
    tested.save()
    way_back()
    tested.refresh_from_db()
    assert not tested.trivial_answers.filter(baseline="constant").exists()
    assert tested.verdict["trivial"] is None
    assert tested.measure_settings == {"ignore_case": True}
    type(tested).objects.update(measure="items")
    way_back()
    assert not type(tested).objects.exists()
