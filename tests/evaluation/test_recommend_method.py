"""Recommend the simplest method that no other is shown to beat."""

import random

import pytest

from finetune_app.evaluation.recommendation import MethodScores, recommend

BASE, PROMPT, DOCUMENTS, TUNED = (0, 0), (0, 1), (0, 2), (0, 3)


def scores_of(name, effort, right, of=60, first=0):
    """A method that is right on `right` prompts of `of`, beginning with number `first`."""
    scores = [float(first <= n < first + right) for n in range(of)]
    return MethodScores(name, effort, tuple(scores))


def recommended(*methods):
    found = recommend(methods)
    name = methods[found.chosen].name if found.chosen >= 0 else ""
    return found.found, name, found.sentence


def test_a_better_prompt_is_enough():
    found, name, sentence = recommended(
        scores_of("the base model", BASE, 3),
        scores_of("a good prompt", PROMPT, 51),
        scores_of("fine-tuning", TUNED, 50),
    )
    assert (found, name) == ("enough", "a good prompt")
    assert sentence == (
        "A good prompt is enough: 51 of 60, where the base model gets 3 of 60. Nothing that takes "
        "more work was clearly better."
    )


def test_fine_tuning_is_worth_the_work_where_nothing_else_comes_close():
    found, name, sentence = recommended(
        scores_of("the base model", BASE, 0),
        scores_of("a good prompt", PROMPT, 7),
        scores_of("fine-tuning", TUNED, 51),
    )
    assert (found, name) == ("worth_it", "fine-tuning")
    assert "51 of 60, where a good prompt gets 7 of 60" in sentence


def test_the_base_model_may_be_enough():
    found, name, sentence = recommended(
        scores_of("the base model", BASE, 55),
        scores_of("a good prompt", PROMPT, 55),
        scores_of("fine-tuning", TUNED, 50),
    )
    assert (found, name) == ("base_is_enough", "the base model")
    assert sentence == "The base model is enough: 55 of 60, and nothing did better."


def test_a_difference_within_chance_keeps_the_simpler_method():
    found, name, sentence = recommended(
        scores_of("the base model", BASE, 0),
        scores_of("a good prompt", PROMPT, 30),
        scores_of("fine-tuning", TUNED, 36, first=12),
    )
    assert (found, name) == ("too_close", "a good prompt")
    assert "that could be chance" in sentence


def test_a_best_method_below_half_is_called_insufficient():
    _found, _name, sentence = recommended(
        scores_of("the base model", BASE, 0), scores_of("searching your documents", DOCUMENTS, 20)
    )
    assert sentence.endswith("But even the best is right on only 20 of 60.")


def test_no_method_is_recommended_where_none_works():
    found, name, sentence = recommended(
        scores_of("the base model", BASE, 0),
        scores_of("a good prompt", PROMPT, 0),
        scores_of("x", TUNED, 0),
    )
    assert (found, name) == ("none_works", "")
    assert "Not one prompt was answered correctly by any method" in sentence


def test_graded_scores_are_given_in_points():
    low = MethodScores("the base model", BASE, tuple([0.2] * 40), graded=True)
    high = MethodScores("fine-tuning", TUNED, tuple([0.9] * 40), graded=True)
    assert (
        "90 of 100 points, where the base model gets 20 of 100 points" in recommended(low, high)[2]
    )


def test_one_method_alone_gives_no_recommendation():
    assert recommend([scores_of("the base model", BASE, 3)]) is None
    assert recommend([scores_of("a", BASE, 0, of=0), scores_of("b", TUNED, 0, of=0)]) is None


@pytest.mark.parametrize("prompts", [20, 60, 200])
def test_equal_methods_are_rarely_called_different(prompts):
    """Five methods that are right half of the time: in at most 5% of the comparisons another than
    the simplest is recommended."""
    chance = random.Random(17)
    wrong = 0
    tries = 1000
    for _ in range(tries):
        methods = [
            MethodScores(
                str(n), (0, n), tuple(float(chance.random() < 0.5) for _ in range(prompts))
            )
            for n in range(5)
        ]
        wrong += recommend(methods).chosen != 0
    print(f"\n{prompts} prompts: {wrong / tries:.1%} of {tries} comparisons found a difference")
    assert wrong / tries <= 0.05
