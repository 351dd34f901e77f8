"""A list of things, in any order; partly right counts in part."""

import pytest

from finetune_app.goals.measures import get_measure
from finetune_app.goals.measures.field_scores import score_fields

WANTED = "red lamp\nbell\nsaddle"


def score(answer, wanted=WANTED, **settings):
    return get_measure("items", settings).check(answer, wanted)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("saddle\nRed lamp\nbell", "As wanted"),
        ("- bell\n- saddle\n- red  lamp.", "As wanted"),
        ("1. bell\n2) saddle\n3. “red lamp”", "As wanted"),
        ("bell\nbell\nsaddle\nred lamp", "As wanted"),
        ("bell\nsaddle", "“red lamp” missing"),
        ("bell\nsaddle\nred lamp\npump", "“pump” not wanted"),
        ("bell\npump", "2 items missing, 1 not wanted"),
        ("bell, saddle, red lamp", "3 items missing, 1 not wanted"),
        ("", "Empty answer"),
    ],
)
def test_answers_are_labelled(answer, label):
    assert score(answer).why == label
    assert score(answer).passed == (label == "As wanted")


def test_the_value_is_f1_of_the_set():
    found = score("bell\nsaddle\npump\nlock")
    assert found.value == pytest.approx(2 * 2 / (4 + 3))
    assert not found.passed


def test_whoever_names_everything_gets_few_points():
    everything = "\n".join(["red lamp", "bell", "saddle", *(f"thing {n}" for n in range(97))])
    assert score(everything).value < 0.06


def test_items_may_stand_between_commas():
    assert score("saddle; bell, red lamp", "red lamp, bell, saddle", separator="commas").passed
    assert score("a, b", "a\nb", separator="commas").passed


def test_case_counts_where_it_is_told_to():
    assert not score("Bell", "bell", ignore_case=False).passed
    assert score("Bell", "bell").passed


def test_precision_and_recall_are_told_apart():
    pair = get_measure("items", {}).fields("bell\nsaddle\npump\nlock", WANTED)
    found = score_fields(pair)
    assert (found.precision, found.recall) == (0.5, pytest.approx(2 / 3))


def test_the_best_constant_holds_the_items_that_most_answers_have():
    measure = get_measure("items", {"separator": "commas"})
    answers = ["lamp, bell, a", "lamp, bell, b", "lamp, bell, c", "d, e, f"]
    constant = measure.best_constant(answers)
    assert set(constant.split(", ")) == {"lamp", "bell"}
