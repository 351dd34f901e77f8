"""What a pattern finds; a person's pattern can be hostile."""

import time

import pytest

from finetune_app.goals.measures import MeasureError, get_measure

INVOICE = {"pattern": "INV-[0-9]+"}


def why(answer, wanted="Please pay INV-12 and INV-7.", **settings):
    return get_measure("pattern", INVOICE | settings).check(answer, wanted).why


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("INV-7, INV-12", "As wanted"),
        ("INV-7, INV-12, INV-12", "As wanted"),
        ("It is INV-7.", "“INV-12” is missing"),
        ("INV-7, INV-12 and INV-9", "“INV-9” was not wanted"),
        ("inv-7, inv-12", "The pattern finds nothing"),
        ("", "The pattern finds nothing"),
    ],
)
def test_answers_are_labelled(answer, label):
    assert why(answer) == label


def test_of_a_pattern_with_a_group_the_group_counts():
    assert why("Invoice: 12", "invoice no. 12", pattern=r"(?:no\. |: )([0-9]+)") == "As wanted"


def test_case_can_be_ignored():
    assert why("INV-1", "INV-1 ", pattern="inv-[0-9]", ignore_case=True) == "As wanted"


def test_finding_anything_can_be_enough():
    assert why("INV-1", "anything", compare="anything") == "As wanted"
    assert why("none", "anything", compare="anything") == "The pattern does not occur"


def test_a_wanted_answer_without_it_says_so():
    assert why("INV-1", "none") == "The pattern finds nothing in the wanted answer"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "Write the pattern"),
        ("(", "cannot be read"),
        ("[z-a]", "cannot be read"),
        (r"(a)\1", "cannot be read"),
        ("(?=a)a", "cannot be read"),
        ("a*", "an empty text"),
        ("((a{1,500}){1,500}){1,500}", "cannot be read"),
        ("x" * 1001, "at most 1,000"),
    ],
)
def test_patterns_that_cannot_be_used_say_why(pattern, message):
    with pytest.raises(MeasureError, match=message):
        get_measure("pattern", {"pattern": pattern})


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|a)*b", r"(.*)(.*)(.*)x", r"(\w+\s?)+:"])
def test_a_pattern_takes_linear_time_whatever_the_text(pattern):
    measure = get_measure("pattern", {"pattern": pattern + "|zz", "compare": "anything"})
    began = time.process_time()
    measure.check("a" * 190_000 + "!", "")
    assert time.process_time() - began < 3
