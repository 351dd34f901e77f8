"""One number, exactly or within a tolerance."""

from decimal import Decimal

import pytest

from finetune_app.goals.measures import MeasureError, get_measure
from finetune_app.goals.measures.number import is_number, read_numbers


def why(answer, wanted="1200", **settings):
    return get_measure("number", settings).check(answer, wanted).why


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("1200", "As wanted"),
        ("1,200.00", "As wanted"),
        ("It comes to £1,200.", "As wanted"),
        ("1 200 km", "As wanted"),
        ("1.2e3", "As wanted"),
        ("1201", "Off by 1"),
        ("-1200", "Off by 2400"),
        ("12", "Off by 1188"),
        ("1200 or 1300", "2 numbers instead of one"),
        (" ".join(map(str, range(50))), "10 or more numbers instead of one"),
        ("twelve hundred", "No number in it"),
        ("", "Empty answer"),
    ],
)
def test_answers_are_labelled(answer, label):
    assert why(answer) == label
    score = get_measure("number", {}).check(answer, "1200")
    assert score.passed == (label == "As wanted")


def test_every_number_does_not_pass_by_naming_all():
    """Whoever lists all that could be right is not right."""
    assert not get_measure("number", {"tolerance": 5}).check("1 2 3 4 5 6", "3").passed


@pytest.mark.parametrize(
    ("chosen", "answer", "passed"),
    [
        ({"tolerance": 5}, "1205", True),
        ({"tolerance": 5}, "1205.01", False),
        ({"tolerance": 0.1}, "1200.1", True),  # exact in decimals, unlike in binary
        ({"tolerance": 10, "unit": "percentage"}, "1080", True),
        ({"tolerance": 10, "unit": "percentage"}, "1079.9", False),
    ],
)
def test_a_tolerance_is_a_difference_or_a_share(chosen, answer, passed):
    score = get_measure("number", chosen).check(answer, "1200")
    assert score.passed == passed
    assert score.value == passed


def test_a_share_of_zero_is_zero():
    assert (
        not get_measure("number", {"tolerance": 50, "unit": "percentage"}).check("0.1", "0").passed
    )


def test_a_wanted_answer_without_one_number_says_so():
    assert why("3", "none") == "The wanted answer is not one number"
    assert why("3", "3 or 4") == "The wanted answer is not one number"


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1,234", "1234", "1.234"),
        ("1.234", "1.234", "1234"),
        ("3,5", "3.5", "3.5"),
        ("0,125", "0.125", "0.125"),
        ("1.234,5", "1234.5", "1234.5"),
        ("1,234,567.8", "1234567.8", "1234567.8"),
        ("−7", "-7", "-7"),
        ("-€5", "-5", "-5"),
        ("12'345", "12345", "12345"),
        (".5 kg", "0.5", "0.5"),
    ],
)
def test_separators_are_read_as_people_write_them(text, point, comma):
    assert read_numbers(text) == [Decimal(point)]
    assert read_numbers(text, decimal_comma=True) == [Decimal(comma)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1.2.3", [1, 2, 3]), ("2026-11-03", [2026, 11, 3]), ("3,4,5", [3, 4, 5]), ("9" * 300, [])],
)
def test_what_is_not_one_number_is_several_or_none(text, numbers):
    assert read_numbers(text) == numbers


@pytest.mark.parametrize(
    "text", ["42", "3.5 km", "€1,200", "12 %", "-7", "90W", "1 200 square metres"]
)
def test_numbers_with_a_unit_are_proposed_as_numbers(text):
    assert is_number(text)


@pytest.mark.parametrize(
    "text", ["A4", "tier 2", "007", "refund", "3 or 4", "", "5 of the blue lamps"]
)
def test_codes_and_sentences_are_not(text):
    assert not is_number(text)


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "5", True, 1e16])
def test_a_tolerance_is_a_number_not_below_zero(bad):
    with pytest.raises(MeasureError, match="not below 0"):
        get_measure("number", {"tolerance": bad})


def test_the_best_constant_is_near_to_most():
    measure = get_measure("number", {"tolerance": 10})
    answers = ["5", "5", *map(str, range(100, 121))]
    constant = measure.best_constant(answers)
    assert sum(measure.check(constant, one).passed for one in answers) >= 20
