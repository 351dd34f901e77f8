"""Detects drift: live prompts that are no longer like the prompts a model was trained on.

A classifier learns to tell the two apart: words and word pairs weighted by TF-IDF, logistic
regression, five folds. If it cannot, nothing has changed. In a small sample it beats guessing by
chance, so its ROC AUC is compared with a permutation test: the same scores with shuffled labels,
many times.

Written with numpy and scipy (docs/decisions/0027 says why not scikit-learn; scipy is imported where
it is used, see quick_import.UNUSED). Deterministic: the same input gives the same result.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finetune_app.monitoring.drift_limits import MAX_PROMPTS, MIN_PROMPTS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FOLDS = 5
PERMUTATIONS = 500
SEED = 17
MAX_TERMS = 20_000  # the most frequent words and pairs
L2_PENALTY = 1.0  # as scikit-learn's C=1
WORD = re.compile(r"\w+")
MAX_NAMED_WORDS = 8
MIN_PROMPTS_WITH_WORD = 3  # live prompts that must contain a word before it is named

Labels = NDArray[np.int_]  # 1 for live prompts, 0 for training prompts
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DriftResult:
    """`learned` and `live`: numbers of training and live prompts. `auc`: 0.5 if they cannot be told
    apart, 1 if always. `by_chance`: the 95th percentile of the AUC under the null hypothesis.
    `new_words` are typical of live prompts, `missing_words` of training prompts."""

    learned: int
    live: int
    auc: float
    by_chance: float
    drifted: bool
    new_words: list[str]
    missing_words: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def detect_drift(training: Sequence[str], live: Sequence[str]) -> DriftResult | None:
    """Compare prompts; None if there are fewer than MIN_PROMPTS on either side.

    At most MAX_PROMPTS of each are used: training prompts spread evenly, the newest live prompts.
    The same text may be on both sides: that is what "no drift" looks like.
    """
    training, live = _evenly_spread(training, MAX_PROMPTS), list(live)[-MAX_PROMPTS:]
    if min(len(training), len(live)) < MIN_PROMPTS:
        return None
    labels = np.array([0] * len(training) + [1] * len(live))
    counts = [term_counts(text) for text in [*training, *live]]
    groups = [normalised_text(text) for text in [*training, *live]]
    scores, folds = np.zeros(len(labels)), _group_folds(groups, labels)
    for fold in range(FOLDS):
        test = folds == fold
        scores[test] = _out_of_fold_scores(counts, labels, test)
    auc = _mean_auc(labels, scores, folds)
    chance = _chance_auc(labels, scores, folds, groups)
    new, missing = _typical_words(counts, labels, groups)
    return DriftResult(len(training), len(live), auc, chance, auc > chance, new, missing)


def term_counts(text: str) -> Counter[str]:
    """Counts of lower-case words and pairs of neighbours; every number counts as "0"."""
    words = ["0" if word.isdigit() else word for word in WORD.findall(text.lower())]
    return Counter(words + [f"{a} {b}" for a, b in pairwise(words)])


def normalised_text(text: str) -> str:
    """The words of a text; equal for texts that differ only in case and punctuation."""
    return " ".join(WORD.findall(text.lower()))


# ---- The classifier ----


def _out_of_fold_scores(
    counts: Sequence[Counter[str]], labels: Labels, test: NDArray[np.bool_]
) -> Floats:
    """Train on all but `test`; returns the decision values of `test`, higher for live prompts."""
    vocabulary = _vocabulary([count for count, out in zip(counts, test, strict=True) if not out])
    matrix = tfidf_matrix(counts, vocabulary, ~test)
    weights = fit_logistic_regression(matrix[~test], labels[~test])
    scores: Floats = np.asarray(matrix[test] @ weights[:-1]) + weights[-1]
    return scores


def _vocabulary(counts: Sequence[Counter[str]]) -> dict[str, int]:
    """Column of each term that occurs in more than one prompt; others cannot generalise."""
    document_frequency = Counter(term for count in counts for term in count)
    kept = [term for term, count in document_frequency.most_common(MAX_TERMS) if count > 1]
    return {term: column for column, term in enumerate(kept)}


def tfidf_matrix(
    counts: Sequence[Counter[str]], vocabulary: dict[str, int], fit_on: NDArray[np.bool_]
) -> csr_matrix:
    """TF-IDF rows of length 1, (prompts, terms): sublinear counts, and the smoothed document
    frequency of the prompts in `fit_on`."""
    from scipy.sparse import csr_matrix

    rows, columns, values = [], [], []
    for row, count in enumerate(counts):
        for term, times in count.items():
            if (column := vocabulary.get(term)) is not None:
                rows.append(row)
                columns.append(column)
                values.append(1 + np.log(times))
    matrix = csr_matrix((values, (rows, columns)), shape=(len(counts), max(len(vocabulary), 1)))
    frequency = np.asarray((matrix[fit_on] > 0).sum(axis=0)).ravel()
    matrix = matrix.multiply(np.log((1 + fit_on.sum()) / (1 + frequency)) + 1).tocsr()
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return matrix.multiply((1 / np.where(length > 0, length, 1))[:, None]).tocsr()


def fit_logistic_regression(matrix: csr_matrix, labels: Labels) -> Floats:
    """Weights (terms + 1,) of an L2-regularised logistic regression with balanced classes; the
    last one is the intercept."""
    from scipy.optimize import minimize

    signs = np.where(labels == 1, 1.0, -1.0)
    class_sizes = np.bincount(labels, minlength=2)
    sample_weights = len(labels) / (2 * class_sizes[labels])

    def loss_and_gradient(weights: Floats) -> tuple[float, Floats]:
        margin = signs * (matrix @ weights[:-1] + weights[-1])
        slope = sample_weights * -signs / (1 + np.exp(np.clip(margin, -500, 500)))
        gradient = np.append(matrix.T @ slope + L2_PENALTY * weights[:-1], slope.sum())
        penalty = L2_PENALTY / 2 * weights[:-1] @ weights[:-1]
        return float((sample_weights * np.logaddexp(0, -margin)).sum() + penalty), gradient

    start = np.zeros(matrix.shape[1] + 1)
    found = minimize(
        loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}
    )
    return np.asarray(found.x)


# ---- The test ----


def roc_auc(labels: Labels, scores: Floats) -> float:
    """How often a live prompt scores above a training prompt; ties count as half."""
    from scipy.stats import rankdata

    live = int(labels.sum())
    ranks = rankdata(scores)[labels == 1].sum()
    return float((ranks - live * (live + 1) / 2) / (live * (len(labels) - live)))


def _mean_auc(labels: Labels, scores: Floats, folds: NDArray[np.int_]) -> float:
    """Mean over the folds, since the scores of two classifiers have no common scale."""
    found = [
        roc_auc(labels[folds == fold], scores[folds == fold])
        for fold in range(FOLDS)
        if 0 < labels[folds == fold].sum() < (folds == fold).sum()
    ]
    return float(np.mean(found)) if found else 0.5


def _chance_auc(
    labels: Labels, scores: Floats, folds: NDArray[np.int_], groups: Sequence[str]
) -> float:
    """The 95th percentile of the mean AUC with labels shuffled within each fold. A text that is
    repeated on one side keeps one label: it is one observation."""
    random = np.random.default_rng(SEED)
    texts = list(zip(groups, labels.tolist(), strict=True))
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    number_of = np.array([numbers[text] for text in texts])
    shuffled = labels.copy()
    parts = []  # of each fold: its rows, the labels of its texts, and which text each row is
    for fold in range(FOLDS):
        rows = np.flatnonzero(folds == fold)
        _numbers, first, text = np.unique(number_of[rows], return_index=True, return_inverse=True)
        parts.append((rows, labels[rows[first]], text))
    found = []
    for _permutation in range(PERMUTATIONS):
        for rows, text_labels, text in parts:
            shuffled[rows] = random.permutation(text_labels)[text]
        found.append(_mean_auc(shuffled, scores, folds))
    return float(np.percentile(found, 95))


def _group_folds(groups: Sequence[str], labels: Labels) -> NDArray[np.int_]:
    """A fold for each prompt, stratified by label. Equal texts share a fold; otherwise a repeated
    prompt would be in training and test folds at once."""
    random = np.random.default_rng(SEED)
    folds = np.zeros(len(labels), dtype=int)
    fold_of: dict[str, int] = {}
    for label in (0, 1):
        indices = random.permutation(np.flatnonzero(labels == label))
        sizes = [0] * FOLDS
        for index in indices:
            fold = fold_of.setdefault(groups[index], int(np.argmin(sizes)))
            folds[index] = fold
            sizes[fold] += 1
    return folds


def _typical_words(
    counts: Sequence[Counter[str]], labels: Labels, groups: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Single words with the largest weights for live and for training prompts, in a classifier
    trained on all prompts. A live prompt that is repeated counts once where words are named."""
    everything = np.ones(len(labels), dtype=bool)
    vocabulary = _vocabulary(counts)
    weights = fit_logistic_regression(tfidf_matrix(counts, vocabulary, everything), labels)[:-1]
    ordered = sorted(
        (weights[column], word) for word, column in vocabulary.items() if " " not in word
    )
    different = {
        group: count for group, count, live in zip(groups, counts, labels, strict=True) if live
    }
    live_frequency = Counter(term for count in different.values() for term in count)
    new = [
        word
        for weight, word in reversed(ordered)
        if weight > 0 and live_frequency[word] >= MIN_PROMPTS_WITH_WORD
    ]
    missing = [word for weight, word in ordered[:MAX_NAMED_WORDS] if weight < 0]
    return new[:MAX_NAMED_WORDS], missing


def _evenly_spread(texts: Sequence[str], most: int) -> list[str]:
    """At most `most` texts, spread evenly, so that every part of a sorted file is represented."""
    if len(texts) <= most:
        return list(texts)
    return [texts[int(index)] for index in np.linspace(0, len(texts) - 1, most)]
