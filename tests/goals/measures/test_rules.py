"""Rules that an answer keeps or breaks."""

import pytest

from finetune_app.goals.measures import MeasureError, get_measure, summary


def why(answer, **settings):
    return get_measure("rules", settings).check(answer, "").why


@pytest.mark.parametrize(
    ("chosen", "answer", "label"),
    [
        ({"max_words": 3}, "one two three", "Keeps every rule"),
        ({"max_words": 20}, "word " * 31, "Too long: 31 words, at most 20"),
        ({"min_words": 2}, "one", "Too short: 1 word, at least 2"),
        ({"contains": ["Thanks"]}, "thanks a lot", "Keeps every rule"),
        ({"contains": ["Thanks"], "ignore_case": False}, "thanks", "“Thanks” is missing"),
        ({"never_contains": ["sorry"]}, "We are SORRY", "Contains “sorry”"),
        ({"order": ["a:", "b:"]}, "a: 1 b: 2", "Keeps every rule"),
        ({"order": ["a:", "b:"]}, "b: 1 a: 2", "“b:” is out of order"),
        ({"order": ["a:", "b:"]}, "a: 1", "“b:” is missing"),
        ({"starts_with": "Dear"}, "  Dear Ann", "Keeps every rule"),
        ({"starts_with": "Dear"}, "Hi Ann", "Does not start with “Dear”"),
        ({"ends_with": "Mara"}, "Bye, Mara\n", "Keeps every rule"),
        ({"ends_with": "Mara"}, "Bye", "Does not end with “Mara”"),
        ({"contains": [".*"]}, "anything", "“.*” is missing"),
        ({"max_words": 5}, "  ", "Empty answer"),
    ],
)
def test_a_kept_or_broken_rule_is_labelled(chosen, answer, label):
    assert why(answer, **chosen) == label


def test_the_first_broken_rule_is_named_and_the_rest_are_counted():
    score = get_measure(
        "rules", {"max_words": 1, "contains": ["a", "b"], "never_contains": ["x"]}
    ).check("x y", "")
    assert score.why == "Too long: 2 words, at most 1 (and 3 other rules broken)"
    assert score.value == 0


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({}, "at least one rule"),
        ({"contains": ["", "  "]}, "at least one rule"),
        ({"max_words": 0}, "whole number"),
        ({"max_words": True}, "whole number"),
        ({"max_words": "20"}, "whole number"),
        ({"max_words": 1, "min_words": 2}, "more words"),
        ({"contains": "x"}, "list"),
        ({"contains": ["x"] * 101}, "list"),
        ({"contains": [1]}, "text"),
        ({"starts_with": "x" * 1001}, "text"),
        ({"contains": ["Sorry"], "never_contains": ["sorry"]}, "both wanted and unwanted"),
        ({"regex": "(a+)+$"}, "no setting called"),
    ],
)
def test_invalid_rules_are_rejected(chosen, message):
    with pytest.raises(MeasureError, match=message):
        get_measure("rules", chosen)


def test_the_summary_is_a_sentence():
    text = summary("rules", {"min_words": 1, "max_words": 20, "never_contains": ["sorry", "but"]})
    assert text == (
        "Right when the answer keeps your rules: at least 1 word; at most 20 words; "
        "never contains “sorry” and “but”."
    )
