"""Which live prompts are least like anything it learned from."""

import pytest

from tests.worker.drift.prompts import THINGS, made_up
from worker.drift.similarity import least_similar


def test_the_strangest_come_first():
    live = made_up(50, THINGS, 2)
    live[7] = "Combien de temps cuit le gratin"
    live[31] = "how much is a gratin dish"
    found = least_similar(made_up(200, THINGS, 1), live)
    assert [at for at, _like in found[:2]] == [7, 31]
    assert found[0][1] == 0.0
    assert 0 < found[1][1] < 0.6
    assert len(found) == 5


def test_the_same_words_are_wholly_alike_and_come_last():
    learned = ["is my bike ready", "the chain is broken"]
    found = least_similar(learned, ["Is my bike ready?", "the chain is new", "oven"])
    assert [at for at, _like in found] == [2, 1, 0]
    assert found[2][1] == pytest.approx(1.0)


def test_the_same_text_is_named_once_by_its_newest_place():
    found = least_similar(["is my bike ready"], ["An oven?", "an oven", "is it ready", "an  OVEN!"])
    assert [at for at, _like in found] == [3, 2]


def test_texts_without_words_are_left_out():
    assert least_similar(["is my bike ready"], ["", "🚲", "\x00"]) == []
