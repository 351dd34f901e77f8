"""Valid JSON with the right fields."""

import pytest

from finetune_app.goals.measures import get_measure

WANTED = '{"intent": "PlayMusic", "artist": "Nina Simone", "year": 1965}'


def score(answer, wanted=WANTED, **settings):
    return get_measure("json", settings).check(answer, wanted)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ('{"year": 1965.0, "artist": "Nina Simone", "intent": "PlayMusic"}', "As wanted"),
        (f"```json\n{WANTED}\n```", "As wanted"),
        ('{"intent": "PlayMusic", "artist": "Nina"}', "Year is missing"),
        ('{"intent": "PlayMusic", "artist": "Nina", "year": 1965}', "Artist differs"),
        ('{"intent": "x", "artist": "y", "year": 1965}', "Intent and artist differ"),
        (WANTED[:-1] + ', "mood": 1}', "Mood was not wanted"),
        (WANTED[:-1], "Not valid JSON"),
        ("Sure! " + WANTED, "Not valid JSON"),
        ("{'intent': 'x'}", "Not valid JSON"),
        ("[1, 2]", "Valid JSON, but without fields"),
        ("null", "Valid JSON, but without fields"),
        ("", "Empty answer"),
        ('{"year": NaN}', "Not valid JSON: NaN is not a number"),
        ('{"year": -Infinity}', "Not valid JSON: -Infinity is not a number"),
        ('{"year": 1e999}', "Not valid JSON: a number is too large"),
        ('{"intent": "PlayMusic", "intent": "x"}', "Not clear JSON: a field appears twice"),
        ("[" * 150 + "]" * 150, "JSON nested too deeply"),
        ("[" * 100_000, "JSON nested too deeply"),
        ('{"a":' * 30_000, "JSON nested too deeply"),
        ("9" * 50_000, "Not valid JSON"),
    ],
)
def test_answers_are_labelled(answer, label):
    assert score(answer).why == label
    assert score(answer).passed == (label == "As wanted")


def test_true_is_not_one_and_brackets_in_a_text_are_not_nesting():
    assert not score('{"a": true}', '{"a": 1}').passed
    assert not score('{"a": [1]}', '{"a": [true]}').passed
    brackets = '{"a": "' + "[" * 500 + '\\"{"}'
    assert score(brackets, brackets).passed


def test_only_the_chosen_fields_are_compared():
    assert score('{"intent": "PlayMusic", "other": 1}', fields=["intent"]).passed
    assert score('{"intent": "x"}', fields=["intent"]).why == "Intent differs"
    assert score('{"intent": "x"}', fields=["intent"], compare="fields").passed
    assert score('{"artist": "x"}', fields=["intent"], compare="fields").why == "Intent is missing"
    # When only names are compared, the expected answer need not be JSON.
    assert score('{"intent": "x"}', "prose", fields=["intent"], compare="fields").passed


def test_only_names_of_fields_can_be_compared():
    assert score('{"intent": 1, "artist": 2, "year": 3}', compare="fields").passed
    assert not score('{"intent": 1, "artist": 2}', compare="fields").passed


def test_a_fence_or_an_invalid_wanted_answer_is_labelled():
    assert score(f"```\n{WANTED}\n```", allow_fence=False).why == "Not valid JSON"
    assert score(WANTED, "{broken").why == "The wanted answer is not valid JSON"


def test_lists_and_plain_values_compare_whole():
    assert score("[1, 2]", "[1, 2.0]").passed
    assert score("[2, 1]", "[1, 2]").why == "Valid JSON, but not as wanted"
    assert score("[2, 1]", "[1]", compare="fields").passed
