"""All tested models of a goal on one page: the best so far, and what changed."""

import pytest

from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Split
from finetune_app.evaluation.history import history_context
from finetune_app.goals import services as goals
from finetune_app.training.models import Training
from finetune_app.versions import services as versions
from tests import journey


def right_on(count: int):
    """What the tuned model answers that gets the first `count` prompts right."""

    def say(prompt, kind):
        right = kind == "tuned" and prompt.index < count
        return (prompt.wanted if right else "I am not sure."), right

    return say


def trained_again(goal, by, name: str, **settings) -> Training:
    training = journey.trained(goal, by, weights=name)
    training.spec = training.spec | settings
    training.save()
    return training


@pytest.fixture
def three(goal, owner, trained) -> list[Training]:
    """Three trainings, right on 4, 9 and 6 prompts; the second with another learning rate."""
    trainings = [trained]
    journey.evaluated(trained, owner, say=right_on(4))
    for name, rate, right in (("second", 0.0005, 9), ("third", 0.0005, 6)):
        training = trained_again(goal, owner, name, learning_rate=rate)
        journey.evaluated(training, owner, say=right_on(right))
        trainings.append(training)
    return trainings


def test_all_tested_models_are_on_one_chart(as_viewer, three, url):
    page = as_viewer.get(url("history")).content.decode()
    assert "Best so far: Training 2." in page
    assert page.count('class="spot') == 4, "the base model and three trainings"
    assert page.index("Training 3</a>") < page.index("Training 1</a>"), "the newest first"
    assert "test it on fresh prompts" in page


def test_more_tests_are_no_more_questions_to_the_database(
    three, goal, owner, django_assert_max_num_queries
):
    with django_assert_max_num_queries(4):
        assert len(history_context(goal)["tested"]) == 3


def test_what_changed_is_said(three, goal):
    third, second, first = history_context(goal)["tested"]
    assert first.changes == []
    assert any("0.0005" in change for change in second.changes)
    assert third.changes == ["Trained again in the same way"]
    assert [first.score, second.score, third.score] == [4, 9, 6]


def test_the_same_training_in_8_bits_stands_beside_it(goal, owner, trained):
    journey.evaluated(trained, owner, say=right_on(9))
    journey.evaluated(trained, owner, say=right_on(8), in_8_bits=True)
    history = history_context(goal)
    rounded, plain = history["tested"]
    assert "Base model, in 8 bits" in history["chart"]  # the newest test's
    assert (rounded.label, plain.label) == ("Training 1, in 8 bits", "Training 1")
    assert rounded.changes == ["Weights rounded to 8 bits"]


def test_more_examples_are_said(goal, owner, trained):
    journey.evaluated(trained, owner, say=right_on(4))
    journey.freeze(goal, owner, count=90)
    training = journey.trained(goal, owner, weights="more")
    journey.evaluated(training, owner, say=right_on(9))
    newest = history_context(goal)["tested"][0]
    assert any("more (version 2)" in change for change in newest.changes)


def test_scores_are_compared_on_the_prompts_that_all_were_asked(goal, owner, trained):
    journey.evaluated(trained, owner, say=right_on(100))
    first = trained.version.counts["test"]
    journey.freeze(goal, owner, count=90)
    journey.evaluated(journey.trained(goal, owner, weights="more"), owner, say=right_on(100))
    context = history_context(goal)
    assert context["prompts"] == first
    assert [one.score for one in context["tested"]] == [first, first]


def correct_test_rows(goal, by, count: int) -> None:
    """Give test rows another wanted answer, and freeze."""
    dataset = datasets.dataset_of(goal)
    for row in dataset.examples.filter(split=Split.TEST).order_by("number")[:count]:
        question, answer = row.messages[-2:]
        row.messages = [question, {**answer, "content": "topic: corrected"}]
        row.save(update_fields=["messages"])
    versions.freeze(dataset=dataset, by=by)


def test_prompts_whose_wanted_answer_was_corrected_are_not_compared(goal, owner, trained):
    """Else a later training looks better because of the answer key alone."""
    journey.evaluated(trained, owner, say=right_on(100))
    correct_test_rows(goal, owner, 2)
    journey.evaluated(journey.trained(goal, owner, weights="more"), owner, say=right_on(0))
    context = history_context(goal)
    same = trained.version.counts["test"] - 2
    assert context["prompts"] == same
    assert [one.score for one in context["tested"]] == [0, same]


def test_several_versions_are_one_more_question_to_the_database(
    goal, owner, trained, django_assert_max_num_queries
):
    journey.evaluated(trained, owner)
    correct_test_rows(goal, owner, 1)
    journey.evaluated(journey.trained(goal, owner, weights="more"), owner)
    with django_assert_max_num_queries(5):
        assert len(history_context(goal)["tested"]) == 2


def test_a_model_tested_twice_is_drawn_once(owner, trained, goal):
    journey.evaluated(trained, owner, say=right_on(4))
    journey.evaluated(trained, owner, say=right_on(4))
    assert len(history_context(goal)["tested"]) == 1


def test_before_the_first_test_the_page_says_so(as_owner, goal, url):
    assert "Nothing has been tested" in as_owner.get(url("history")).content.decode()


def test_choices_of_a_person_are_not_drawn_together(as_owner, goal, ballot, url):
    assert "have no common scale" in as_owner.get(url("history")).content.decode()


def test_another_measure_starts_anew(as_owner, goal, three, url):
    goals.choose_measure(goal=goal, kind="close", settings={})
    assert "Nothing has been tested" in as_owner.get(url("history")).content.decode()


def test_other_teams_do_not_see_it(as_stranger, as_owner, three, url):
    assert as_stranger.get(url("history")).status_code == 404
    assert as_owner.post(url("history")).status_code == 405
