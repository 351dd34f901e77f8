"""How easy a text is to read, and how many sentences it has."""

import time

import pytest

from finetune_app.goals.measures import get_measure, summary
from finetune_app.goals.measures.readability import lix, sentences

EASY = "The cat sat on the mat. It was warm. So the cat slept."
HARD = (
    "Notwithstanding considerable organisational difficulties, representatives subsequently "
    "established comprehensive administrative procedures throughout participating municipalities."
)


def test_lix_is_words_a_sentence_and_the_share_of_long_ones():
    # 8 words in 2 sentences, 2 of 7 letters or more: 4 + 25.
    assert lix("The weather is warm. Nobody expects it today!") == pytest.approx(4 + 100 * 2 / 8)
    assert lix(EASY) < 10
    assert lix(HARD) > 80
    assert lix("") == lix("... 12 !!") == 0.0


@pytest.mark.parametrize(
    ("text", "count"),
    [("One. Two! Three?", 3), ("One line\nand another", 2), ("It costs 3.50 in all", 1), ("…", 0)],
)
def test_sentences_are_counted(text, count):
    assert sentences(text) == count


def test_a_text_can_be_required_to_be_easy():
    measure = get_measure("rules", {"ease": "a newspaper"})
    assert measure.check(EASY, "").passed
    found = measure.check(HARD, "")
    assert found.why.startswith("Too hard to read")
    assert "as easy to read as a newspaper" in summary("rules", {"ease": "a newspaper"})


@pytest.mark.parametrize(
    ("chosen", "label"),
    [
        ({"max_sentences": 2}, "Too long: 3 sentences, at most 2"),
        ({"max_characters": 10}, "Too long: 54 characters, at most 10"),
        ({"max_sentences": 3, "max_characters": 54}, "Keeps every rule"),
    ],
)
def test_length_is_counted_in_sentences_and_characters_too(chosen, label):
    assert get_measure("rules", chosen).check(EASY, "").why == label


def test_an_easy_text_without_content_is_found_where_long_words_are_asked_for():
    chosen = {"ease": "a children's book", "contains": ["notwithstanding"]}
    measure = get_measure("rules", chosen)
    assert measure.check(measure.empty_pass(), "").passed


@pytest.mark.parametrize("text", ["." * 190_000 + "a", "a." * 90_000, "a'" * 90_000, "A-" * 90_000])
def test_hostile_texts_are_quick(text):
    began = time.process_time()
    lix(text)
    assert time.process_time() - began < 2
