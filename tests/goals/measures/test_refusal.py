"""Declines where the wanted answer declines."""

import pytest

from finetune_app.goals.measures import get_measure

DECLINES = "I can’t help with that; please ask a doctor."
ANSWERS = "Take the second door on the left."


@pytest.mark.parametrize(
    ("answer", "wanted", "label"),
    [
        ("I'm sorry, but I cannot say.", DECLINES, "As wanted"),
        ("The first door.", ANSWERS, "As wanted"),
        ("Take two a day.", DECLINES, "Does not decline"),
        ("I am unable to answer this.", ANSWERS, "Declines"),
        ("Sorry for the delay! It is the second door.", ANSWERS, "As wanted"),
        ("Leider kann ich das nicht sagen.", DECLINES, "As wanted"),
        ("", DECLINES, "Empty answer"),
    ],
)
def test_answers_are_labelled(answer, wanted, label):
    score = get_measure("refusal", {}).check(answer, wanted)
    assert score.why == label
    assert score.passed == (label == "As wanted")
    assert score.value == score.passed


def test_answers_are_two_labels():
    measure = get_measure("refusal", {})
    assert measure.label(DECLINES) != measure.label(ANSWERS)
    assert measure.label(DECLINES) == measure.label("I cannot do that.")
