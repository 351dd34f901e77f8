"""A rewriting task on which repeating the question scores well: the headline takes it in.

Once with wordings drawn by lot, which nobody can learn, and once with one wording for each phrase.
"""

import csv
from pathlib import Path

import pytest

from tests.browser.old_wording import Pair, fixed_pairs, free_pairs
from tests.browser.person import Person

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]

GOAL = {
    "what": "Rewrite a plain English sentence in the wording of an old play.",
    "name": "Old wording",
    "prompt": "I gave your neighbour Lady Marsden the letter with the red seal.",
    "answer": "I gave thy neighbour Lady Marsden the writ with the red seal.",
    "measure": "Close wording",
}


def as_table(folder: Path, pairs: list[Pair]) -> Path:
    path = folder / "wordings.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("plain", "old"), *pairs])
    return path


def test_what_repeats_is_not_called_better(installation, new_context, tmp_path):
    mara = Person.arrives(new_context(), installation.address)
    level, words = mara.walks_to_the_verdict(GOAL, as_table(tmp_path, free_pairs()))
    mara.photograph("old-wording-free")
    assert level == "not_better_than_trivial"
    assert "Not better than" in words or "No better than" in words
    assert "worth the work" not in mara.reads()


def test_what_learned_the_wording_is(installation, new_context, tmp_path):
    mara = Person.arrives(new_context(), installation.address)
    level, _words = mara.walks_to_the_verdict(GOAL, as_table(tmp_path, fixed_pairs()))
    mara.photograph("old-wording-fixed")
    assert level == "consistently_better"
