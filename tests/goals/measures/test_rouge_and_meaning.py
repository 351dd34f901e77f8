"""The same words in the same order, and closeness in meaning."""

import pytest

from finetune_app.goals.measures import MeasureError, NeedsEmbedder, get_measure
from finetune_app.goals.measures.rouge_l import rouge_l


def test_the_threshold_decides_what_passes():
    answer, wanted = "the cat sat on the mat", "the cat is on the mat"
    assert rouge_l(answer, wanted) == pytest.approx(10 / 12)
    assert get_measure("rouge", {}).check(answer, wanted).why == "Close: 83%"
    strict = get_measure("rouge", {"threshold": 0.9})
    assert strict.check(answer, wanted).why == "Not close: 83%"
    assert strict.check("The  Cat", "The Cat").why == "As wanted"
    assert strict.check("", "x").why == "Empty answer"
    assert strict.graded
    assert not strict.tells_right


def test_the_order_of_words_counts():
    assert rouge_l("mat the on sat cat the", "the cat sat on the mat") == 0.5


def test_words_of_any_script_count():
    assert rouge_l("Größe über", "größe ÜBER") == 1.0
    assert rouge_l("привет мир", "привет") == pytest.approx(2 / 3)


def test_texts_without_words_share_nothing():
    assert rouge_l("...", "!!!") == 0.0
    assert rouge_l("___", "a") == 0.0


def test_a_long_text_is_quick():
    assert rouge_l("a b " * 40_000, "b a " * 40_000) > 0.9


VECTORS = {"yes": (1.0, 0.0), "indeed": (0.8, 0.6), "no": (0.0, 1.0), "never": (-1.0, 0.0)}


@pytest.fixture
def meaning():
    measure = get_measure("meaning", {"threshold": 0.7})
    measure.use_embedder(lambda texts: [VECTORS[text] for text in texts])
    return measure


@pytest.mark.parametrize(
    ("answer", "value", "label"),
    [
        ("indeed", 0.8, "Close: 80%"),
        ("no", 0.0, "Not close: 0%"),
        ("never", 0.0, "Not close: 0%"),
        ("yes ", 1.0, "As wanted"),
        ("", 0.0, "Empty answer"),
    ],
)
def test_meaning_is_the_cosine_of_the_vectors(meaning, answer, value, label):
    score = meaning.check(answer, "yes")
    assert score.value == pytest.approx(value)
    assert score.why == label
    assert score.passed == (value >= 0.7)


def test_a_text_is_embedded_once(meaning):
    asked = []
    meaning.use_embedder(lambda texts: asked.extend(texts) or [VECTORS[text] for text in texts])
    for answer in ("indeed", "no", "indeed"):
        meaning.check(answer, "yes")
    assert sorted(asked) == ["indeed", "no", "yes"]


def test_without_an_embedder_only_equal_texts_can_be_told():
    measure = get_measure("meaning", {})
    assert measure.needs_embedder
    assert measure.check("Yes.", "Yes.").passed
    with pytest.raises(NeedsEmbedder):
        measure.check("Yes.", "No.")


def test_the_best_constant_is_the_frame_of_the_answers():
    """What all answers share comes nearer to each of them than any of them does."""
    things = ["lamp", "bell", "pump", "lock", "chain", "tyre", "rack", "seat"]
    answers = [f"We sent the {one} to our shop in {one[::-1]} today" for one in things]
    frame = get_measure("rouge", {}).best_constant(answers)
    assert frame == "We sent the to our shop in today"


def test_a_threshold_is_a_share():
    for kind in ("rouge", "meaning"):
        with pytest.raises(MeasureError, match="at most 1"):
            get_measure(kind, {"threshold": 1.1})
