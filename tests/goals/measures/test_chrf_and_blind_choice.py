"""Close wording by chrF, and the blind choice of a person."""

import pytest

from finetune_app.goals.measures import MeasureError, NeedsPerson, get_measure
from finetune_app.goals.measures.chrf import chrf


@pytest.mark.parametrize(
    ("answer", "wanted", "reference"),
    [  # sacreBLEU 2.6, CHRF().sentence_score
        ("the cat sat on the mat", "the cat is on the mat", 64.5779420625287),
        ("We refund it at the desk.", "We refund it at the counter today.", 53.956021609071946),
        ("a", "a", 100.0),
        ("abc", "xyz", 0.0),
        ("hello there", "hello", 73.29284307288246),
        ("Ok", "Bring the tube and the receipt and we refund it at the desk.", 1.2886597938144329),
        ("", "x", 0.0),
    ],
)
def test_chrf_equals_sacrebleu(answer, wanted, reference):
    assert chrf(answer, wanted) * 100 == pytest.approx(reference, abs=1e-9)


def test_the_threshold_decides_what_passes():
    answer, wanted = "the cat sat on the mat", "the cat is on the mat"
    assert get_measure("close", {}).check(answer, wanted).why == "Close: 64%"
    assert get_measure("close", {"threshold": 0.7}).check(answer, wanted).why == "Not close: 64%"
    assert get_measure("close", {}).check("The  Cat", "the cat").why == "As wanted"
    assert get_measure("close", {}).graded
    for bad in (0, 1.1, float("nan"), "0.5", True):
        with pytest.raises(MeasureError, match="at most 1"):
            get_measure("close", {"threshold": bad})


def test_only_equal_texts_reach_one():
    assert chrf("ba", "ab") < 1
    assert get_measure("close", {"threshold": 1}).check("ab", "ba").passed is False


def test_a_choice_needs_a_person():
    measure = get_measure("choice", {})
    assert measure.needs_person
    with pytest.raises(NeedsPerson, match="Only a person"):
        measure.check("a", "b")
