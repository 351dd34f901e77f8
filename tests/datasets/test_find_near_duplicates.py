"""Near-duplicate detection compared with an exact comparison of every pair."""

import itertools
import random

import pytest

from finetune_app.datasets.near_duplicates import (
    group_leaders,
    jaccard,
    similar_pairs,
    without_shared_ends,
)
from tests.example_rows import pair


def changed(text: str, times: int, dice: random.Random) -> str:
    letters = list(text)
    for _ in range(times):
        letters[dice.randrange(len(letters))] = dice.choice("abcdefghij")
    return "".join(letters)


@pytest.mark.parametrize("least", [0.6, 0.8])
def test_minhash_finds_the_pairs_of_an_exact_comparison(least):
    dice = random.Random(3)
    texts = [pair(n)[0] for n in range(120)]
    texts += [changed(texts[n], 1 + n % 3, dice) for n in range(120)]
    texts = list(dict.fromkeys(texts))  # equal texts form no pair
    wanted = {
        (a, b)
        for a, b in itertools.combinations(range(len(texts)), 2)
        if jaccard(texts[a], texts[b]) >= least
    }
    found = set(similar_pairs(texts, least))
    assert len(wanted) > 50
    assert found <= wanted
    assert len(found) >= 0.97 * len(wanted)


def test_equal_texts_are_one_group():
    assert group_leaders(["one and two", "three and four", "one and two"]) == [0, 1, 0]


def test_shared_ends_are_left_out_only_when_all_share_them():
    texts = [
        f"Sort this mail for me, please: {word} Answer in one word."
        for word in ("puncture", "brakes", "saddle")
    ]
    assert without_shared_ends(texts) == ["puncture", "brakes", "saddle"]
    assert without_shared_ends([*texts, "Hello there"]) == [*texts, "Hello there"]


def test_empty_and_short_texts():
    assert list(similar_pairs(["", "a", "b", ""], 0.8)) == []
