"""Parsing an answer into fields, and marking what differs."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_app.goals.measures import mark_differences, parse_fields


@pytest.mark.parametrize(
    ("answer", "pairs"),
    [
        ("topic: return\ndue: today", [("topic", "return"), ("due", "today")]),
        ("topic:\n\ndue:  today ", [("topic", ""), ("due", "today")]),
        ('{"a": "x", "b": 1, "c": null}', [("a", "x"), ("b", "1"), ("c", "null")]),
        ('{"a": {"b": 1}}', None),
        ("{}", None),
        ("{" * 5000, None),
        ("topic: return", None),
        ("Dear Ann,\nnote: we are closed", None),
        ("10:30 opening\n12:00 lunch", None),
        ("http://x\nhttp://y", None),
        ("", None),
    ],
)
def test_an_answer_is_parsed_into_fields(answer, pairs):
    assert parse_fields(answer) == pairs


def test_a_value_is_marked_whole():
    marks = mark_differences("topic: big complaint\ndue: today", "topic: big return\ndue: today")
    assert marks == [("topic: ", False), ("big complaint", True), ("\ndue: today", False)]


def test_an_unwanted_line_is_marked():
    marks = mark_differences("topic: a\nmood: sad", "topic: a\ndue: b")
    assert marks == [("topic: a\n", False), ("mood: sad", True)]


def test_words_are_marked_together_with_the_space_between_them():
    marks = mark_differences("Thank you so much! We refund it.", "We refund it.")
    assert marks == [("Thank you so much!", True), (" We refund it.", False)]


def test_equal_answers_have_no_marks_and_empty_answers_no_parts():
    assert mark_differences("same", "same") == [("same", False)]
    assert mark_differences("", "x") == []
    assert mark_differences("x", "") == [("x", True)]


@settings(deadline=None)
@given(st.text(), st.text())
def test_the_parts_joined_are_the_answer(answer, wanted):
    marks = mark_differences(answer, wanted)
    assert "".join(text for text, _ in marks) == answer
    assert all(a[1] != b[1] for a, b in pairwise(marks))


LINES = ["a: 1", "b: 2", "b:", " c :3", "d e: f\x85", "g: 4\r"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=5), st.lists(st.sampled_from(LINES), max_size=4))
def test_the_parts_of_lines_joined_are_the_answer(answer, wanted):
    text = "\n".join(answer)
    assert "".join(piece for piece, _ in mark_differences(text, "\n".join(wanted))) == text


def test_long_answers_are_compared_by_line_and_very_long_ones_as_a_whole():
    lines = "\n".join(f"line {n}" for n in range(3000))
    assert mark_differences(lines + "\nmore", lines)[-1][1] is True
    words = "\n".join("word" for _ in range(20_000))
    assert mark_differences(words, words + "x") == [(words, True)]
