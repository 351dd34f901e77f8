"""The live prompts that are least like any training prompt."""

import pytest

from tests.worker.drift.prompts import THINGS, random_prompts
from worker.drift.similarity import least_similar


def test_the_least_similar_come_first():
    live = random_prompts(50, THINGS, 2)
    live[7] = "Combien de temps cuit le gratin"
    live[31] = "how much is a gratin dish"
    found = least_similar(random_prompts(200, THINGS, 1), live)
    assert [index for index, _similarity in found[:2]] == [7, 31]
    assert found[0][1] == 0.0
    assert 0 < found[1][1] < 0.6
    assert len(found) == 5


def test_the_same_words_have_similarity_1_and_come_last():
    learned = ["is my bike ready", "the chain is broken"]
    found = least_similar(learned, ["Is my bike ready?", "the chain is new", "oven"])
    assert [index for index, _similarity in found] == [2, 1, 0]
    assert found[2][1] == pytest.approx(1.0)


def test_equal_texts_are_listed_once_by_the_newest():
    found = least_similar(["is my bike ready"], ["An oven?", "an oven", "is it ready", "an  OVEN!"])
    assert [index for index, _similarity in found] == [3, 2]


def test_texts_without_words_are_left_out():
    assert least_similar(["is my bike ready"], ["", "🚲", "\x00"]) == []
