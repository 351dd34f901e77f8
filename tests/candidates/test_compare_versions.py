"""Comparing two texts and two prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_app.candidates.diff import diff_prompts, diff_words

PIECES = ["sort", "each", "mail", ".", " ", "\n", "well", "ü"]
WORDS = st.lists(st.sampled_from(PIECES), max_size=30)


def diff(before: str, after: str) -> list[tuple[str, str]]:
    return [(piece.kind, piece.text) for piece in diff_words(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [
        ("", "", []),
        ("Sort it.", "Sort it.", [("same", "Sort it.")]),
        ("Sort it.", "Sort it well.", [("same", "Sort it"), ("added", " well"), ("same", ".")]),
        ("Sort it well.", "Sort it.", [("same", "Sort it"), ("gone", " well"), ("same", ".")]),
        ("", "New.", [("added", "New.")]),
        (
            "be very kind now",
            "be quite brief now",
            [("same", "be "), ("gone", "very kind"), ("added", "quite brief"), ("same", " now")],
        ),
    ],
)
def test_words_are_compared(before, after, pieces):
    assert diff(before, after) == pieces


@given(WORDS, WORDS)
def test_both_texts_can_be_rebuilt(some, others):
    before, after = "".join(some), "".join(others)
    pieces = diff_words(before, after)
    assert "".join(p.text for p in pieces if p.kind != "added") == before
    assert "".join(p.text for p in pieces if p.kind != "gone") == after


def test_a_long_text_is_compared_line_by_line_and_quickly():
    lines = [f"line {n} of many words in a row" for n in range(3000)]
    changed = diff_prompts("\n".join(lines), "\n".join([*lines[:-1], "another end"]))
    assert [piece.kind for piece in changed.words] == ["same", "gone", "added"]


def test_shots_are_compared_too():
    one, two = {"prompt": "a", "answer": "b"}, {"prompt": "c", "answer": "d"}
    found = diff_prompts("x", "x", [one], [two])
    assert (found.shots_gone, found.shots_added) == ([one], [two])
    same = diff_prompts("x", "x", [one], [one])
    assert (same.added, same.gone, same.shots_added, same.shots_gone) == (0, 0, [], [])


def test_words_are_counted():
    found = diff_prompts("Sort it.", "Sort every mail well.")
    assert (found.added, found.gone) == (3, 1)
