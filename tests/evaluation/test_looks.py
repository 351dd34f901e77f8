"""How often results on a test set were seen is counted by prompt and by what was tested."""

import pytest

from finetune_app.evaluation import looks
from finetune_app.evaluation.models import Evaluation
from tests import journey


def evaluate_again(training, by) -> Evaluation:
    evaluation = journey.evaluated(training, by)
    evaluation.refresh_from_db()
    return evaluation


def test_each_new_model_is_a_look(goal, owner, trained):
    first = evaluate_again(trained, owner)
    second = evaluate_again(journey.trained(goal, owner, weights="another"), owner)
    third = evaluate_again(journey.trained(goal, owner, weights="a third"), owner)
    assert [first.looks, second.looks, third.looks] == [1, 2, 3]


def test_testing_the_same_again_is_no_new_look(owner, trained):
    assert evaluate_again(trained, owner).looks == 1
    assert evaluate_again(trained, owner).looks == 1
    assert trained.goal.looks.count() == 1


def test_deleting_an_evaluation_keeps_its_look(goal, owner, trained):
    evaluate_again(trained, owner).delete()
    assert evaluate_again(journey.trained(goal, owner, weights="another"), owner).looks == 2


def test_recording_twice_changes_nothing(owner, trained):
    evaluation = evaluate_again(trained, owner)
    looks.record(evaluation)
    evaluation.refresh_from_db()
    assert evaluation.looks == 1
    assert trained.goal.looks.count() == 1


def test_looks_are_mentioned_on_the_page(as_owner, goal, owner, trained, url):
    evaluate_again(trained, owner)
    second = evaluate_again(journey.trained(goal, owner, weights="another"), owner)
    page = as_owner.get(url("detail", second.pk)).content.decode()
    assert "Seen 2 times" in page
    assert "at most once in 40 tries" in page


def test_an_evaluation_without_results_is_no_look(trained, owner):
    stopped = journey.begun(trained, owner)
    journey.end(stopped.job, stopped=True)
    assert journey.evaluated(trained, owner).looks == 1


def test_a_look_still_counts_when_the_dataset_grows(tested, goal, owner):
    journey.freeze(goal, owner, count=80)
    assert journey.evaluated(journey.trained(goal, owner), owner).looks == 2


def test_mostly_new_prompts_are_a_new_test_set(tested, goal, owner):
    journey.freeze(goal, owner, count=200)
    assert journey.evaluated(journey.trained(goal, owner), owner).looks == 1


@pytest.mark.parametrize(("shared", "counts"), [(4, True), (3, False)])
def test_a_look_counts_while_half_of_the_prompts_were_in_it(tested, goal, shared, counts):
    seen = goal.looks.get().rows
    now = [*seen[:shared], *range(10_000, 10_004)]
    assert bool(looks.looks_at(goal, now)) is counts
