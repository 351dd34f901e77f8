"""Are live prompts still like those it learned from?

A classifier is asked to tell the two apart: words and word pairs weighted by TF-IDF, logistic
regression, five folds. Where it cannot, nothing has changed. Chance alone lets it look better than
a coin in a small sample, so the area under its ROC curve is held against what classifiers reach
that are told nothing: the same scores with the labels dealt out anew, many times.

Plain numpy and scipy, no training state: one call, one finding, the same for the same input.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

FOLDS = 5
DEALS = 500  # times the labels are dealt out anew
LEAST = 30  # prompts on each side; with fewer, chance alone reaches 0.7 now and then
MOST = 2_000  # on each side; the newest live ones
SEED = 17
TERMS = 20_000  # the most frequent words and pairs
PULL = 1.0  # of the weights towards zero, as scikit-learn's C=1
WORD = re.compile(r"\w+")
TOLD = 8  # words that are named
SAID_BY = 3  # live prompts at least that have a word which is named: it is nobody's own


@dataclass(frozen=True)
class Drift:
    """What was found. `auc`: 0.5 where nobody could tell live from learned, 1 where anybody could.
    `by_chance`: what 95 of 100 classifiers that know nothing stay below. `drifted`: above it.
    `new_words` speak for live prompts, `missing_words` for those it learned from."""

    learned: int
    live: int
    auc: float
    by_chance: float
    drifted: bool
    new_words: list[str]
    missing_words: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def drift(learned: Sequence[str], live: Sequence[str]) -> Drift | None:
    """Compare prompts; None where there are too few of either to say anything.

    `learned` is thinned evenly, `live` cut from the front, to MOST each. The same text on both
    sides is fine: it is what "no drift" looks like.
    """
    learned, live = _thinned(learned, MOST), list(live)[-MOST:]
    if min(len(learned), len(live)) < LEAST:
        return None
    labels = np.array([0] * len(learned) + [1] * len(live))
    bags = [terms_of(text) for text in [*learned, *live]]
    groups = [same_text(text) for text in [*learned, *live]]
    scores, folds = np.zeros(len(labels)), _folds(groups, labels)
    for fold in range(FOLDS):
        test = folds == fold
        scores[test] = _scores(bags, labels, test)
    found = _mean_auc(labels, scores, folds)
    chance = _by_chance(labels, scores, folds)
    new, missing = _telling(bags, labels)
    return Drift(len(learned), len(live), found, chance, found > chance, new, missing)


def terms_of(text: str) -> Counter[str]:
    """Words and pairs of neighbours, in small letters; digits count as one word for a number."""
    words = ["0" if word.isdigit() else word for word in WORD.findall(text.lower())]
    return Counter(words + [f"{a} {b}" for a, b in pairwise(words)])


def same_text(text: str) -> str:
    """Its words, the same for texts that differ in capitals and punctuation alone."""
    return " ".join(WORD.findall(text.lower()))


# ---- The classifier ----


def _scores(bags: Sequence[Counter[str]], labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Learn from all but `test`; how much each of `test` looks live (any scale)."""
    words = _vocabulary([bag for bag, out in zip(bags, test, strict=True) if not out])
    matrix = weighted(bags, words, ~test)
    weights = _learned(matrix[~test], labels[~test])
    return np.asarray(matrix[test] @ weights[:-1]) + weights[-1]


def _vocabulary(bags: Sequence[Counter[str]]) -> dict[str, int]:
    """Terms that more than one prompt has: one that only one has tells nothing about others."""
    seen = Counter(term for bag in bags for term in bag)
    kept = [term for term, count in seen.most_common(TERMS) if count > 1]
    return {term: place for place, term in enumerate(kept)}


def weighted(bags: Sequence[Counter[str]], words: dict[str, int], known: np.ndarray) -> csr_matrix:
    """Rows of TF-IDF (sublinear counts, smoothed document frequency of `known`), of length 1."""
    rows, columns, values = [], [], []
    for row, bag in enumerate(bags):
        for term, count in bag.items():
            if (place := words.get(term)) is not None:
                rows.append(row)
                columns.append(place)
                values.append(1 + np.log(count))
    matrix = csr_matrix((values, (rows, columns)), shape=(len(bags), max(len(words), 1)))
    frequency = np.asarray((matrix[known] > 0).sum(axis=0)).ravel()
    matrix = matrix.multiply(np.log((1 + known.sum()) / (1 + frequency)) + 1).tocsr()
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return matrix.multiply((1 / np.where(length > 0, length, 1))[:, None]).tocsr()


def _learned(matrix: csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Logistic regression with both classes counting alike; the last weight is the constant."""
    sides = np.where(labels == 1, 1.0, -1.0)
    counts = np.bincount(labels, minlength=2)
    share = len(labels) / (2 * counts[labels])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sides * (matrix @ weights[:-1] + weights[-1])
        pull = share * -sides / (1 + np.exp(np.clip(margin, -500, 500)))
        gradient = np.append(matrix.T @ pull + PULL * weights[:-1], pull.sum())
        value = (share * np.logaddexp(0, -margin)).sum() + PULL / 2 * weights[:-1] @ weights[:-1]
        return float(value), gradient

    start = np.zeros(matrix.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x)


# ---- The verdict ----


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often a live prompt looks more live than a learned one."""
    live = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum()
    return float((ranks - live * (live + 1) / 2) / (live * (len(labels) - live)))


def _mean_auc(labels: np.ndarray, scores: np.ndarray, folds: np.ndarray) -> float:
    """Each fold by itself, since the scores of two classifiers have no common scale."""
    found = [
        auc(labels[folds == fold], scores[folds == fold])
        for fold in range(FOLDS)
        if 0 < labels[folds == fold].sum() < (folds == fold).sum()
    ]
    return float(np.mean(found)) if found else 0.5


def _by_chance(labels: np.ndarray, scores: np.ndarray, folds: np.ndarray) -> float:
    """The 95th percentile of the same measure with labels dealt out anew within each fold."""
    random = np.random.default_rng(SEED)
    dealt = labels.copy()
    found = []
    for _deal in range(DEALS):
        for fold in range(FOLDS):
            place = folds == fold
            dealt[place] = random.permutation(labels[place])
        found.append(_mean_auc(dealt, scores, folds))
    return float(np.percentile(found, 95))


def _folds(groups: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """A fold for each prompt, both sides spread evenly. The same text is always in one fold: a
    prompt that is asked again and again would otherwise be told by heart."""
    random = np.random.default_rng(SEED)
    folds = np.zeros(len(labels), dtype=int)
    given: dict[str, int] = {}
    for side in (0, 1):
        places = random.permutation(np.flatnonzero(labels == side))
        filled = [0] * FOLDS
        for place in places:
            fold = given.setdefault(groups[place], int(np.argmin(filled)))
            folds[place] = fold
            filled[fold] += 1
    return folds


def _telling(bags: Sequence[Counter[str]], labels: np.ndarray) -> tuple[list[str], list[str]]:
    """Single words that speak most for live and for learned, by a classifier that saw all."""
    everyone = np.ones(len(labels), dtype=bool)
    words = _vocabulary(bags)
    weights = _learned(weighted(bags, words, everyone), labels)[:-1]
    ordered = sorted((weights[place], word) for word, place in words.items() if " " not in word)
    said_by = Counter(term for bag, live in zip(bags, labels, strict=True) if live for term in bag)
    new = [word for weight, word in reversed(ordered) if weight > 0 and said_by[word] >= SAID_BY]
    return new[:TOLD], [word for weight, word in ordered[:TOLD] if weight < 0]


def _thinned(texts: Sequence[str], most: int) -> list[str]:
    """Evenly over the whole, so that a file in order stays represented."""
    if len(texts) <= most:
        return list(texts)
    return [texts[int(place)] for place in np.linspace(0, len(texts) - 1, most)]
