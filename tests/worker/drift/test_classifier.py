"""Live prompts against those it learned from: found where there is drift, silent where not."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from finetune_app.guide.sample import mailbox
from tests.worker.drift.prompts import THINGS, made_up
from worker.drift.classifier import (
    MAX_PROMPTS,
    MIN_PROMPTS,
    detect_drift,
    fit_logistic_regression,
    roc_auc,
    term_counts,
    tfidf_matrix,
)


@pytest.fixture(scope="module")
def emails():
    with Path(mailbox.DATA).open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_split = {}
    for row in rows:
        by_split.setdefault(row["split"], []).append(row["email"])
    return by_split


def test_practice_emails_are_like_those_it_learned_from(emails):
    found = detect_drift(emails["train"], emails["validation"])
    assert found is not None
    assert not found.drifted
    assert found.auc < found.by_chance


def test_questions_about_an_oven_are_not(emails):
    """Real prompts of the handbook benchmark, asked of a model that sorts bike shop emails."""
    import json

    folder = Path(__file__).resolve().parents[3] / "benchmarks" / "handbook"
    questions = [
        json.loads(line)["question"]
        for line in (folder / "questions.jsonl").read_text().splitlines()
    ]
    found = detect_drift(emails["train"], questions)
    assert found.drifted
    assert found.auc > 0.95
    assert found.new_words


@pytest.mark.parametrize("seed", range(5))
def test_the_same_kind_of_prompt_is_rarely_called_drift(seed):
    """At most one in twenty by design; none of these five."""
    found = detect_drift(made_up(120, THINGS, seed), made_up(60, THINGS, seed + 100))
    assert not found.drifted


def test_new_things_among_the_old_are_found_and_named():
    live = made_up(60, THINGS, 1) + made_up(40, ["battery", "charger", "display"], 2)
    found = detect_drift(made_up(200, THINGS, 3), live)
    assert found.drifted
    assert {"battery", "charger", "display"} <= set(found.new_words)
    assert not {"battery", "charger", "display"} & set(found.missing_words)


def test_one_prompt_asked_a_hundred_times_is_not_known_by_heart():
    """The same text lies in one fold: a repeated old prompt gives no score by being repeated."""
    learned = made_up(100, THINGS, 4)
    found = detect_drift(learned, [learned[0]] * 40 + made_up(60, THINGS, 5))
    assert found.auc < 0.75


def test_too_few_say_nothing():
    assert detect_drift(made_up(MIN_PROMPTS - 1, THINGS, 1), made_up(100, THINGS, 2)) is None
    assert detect_drift(made_up(100, THINGS, 1), []) is None


def test_the_newest_live_ones_count():
    old, new = made_up(MAX_PROMPTS, ["unicycle"], 1), made_up(MAX_PROMPTS, THINGS, 2)
    found = detect_drift(made_up(150, THINGS, 3), [*old[:100], *new])
    assert found.live == MAX_PROMPTS
    assert "unicycle" not in found.new_words


def test_it_says_the_same_twice_and_as_json():
    given = made_up(60, THINGS, 1), made_up(60, ["battery"], 2)
    assert detect_drift(*given) == detect_drift(*given)
    assert detect_drift(*given).to_json()["drifted"] is True


@pytest.mark.parametrize("text", ["", "   ", "\x00", "🚲🚲", "1234"])
def test_texts_without_words_break_nothing(text):
    found = detect_drift([text] * 40, [text] * 40)
    assert not found.drifted


def test_the_area_is_that_of_the_rank_test():
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 80), rng.integers(0, 9, 80)  # with ties
    u = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    assert roc_auc(labels, scores) == pytest.approx(u / (labels.sum() * (80 - labels.sum())))


def test_the_classifier_is_at_the_bottom_of_its_own_loss():
    """Against scikit-learn's, where it is installed: the same weights."""
    linear = pytest.importorskip("sklearn.linear_model")
    texts = made_up(60, THINGS, 1) + made_up(60, ["battery", "saddle"], 2)
    bags = [term_counts(text) for text in texts]
    labels = np.array([0] * 60 + [1] * 60)
    words = {term: place for place, term in enumerate(sorted(set().union(*bags)))}
    matrix = tfidf_matrix(bags, words, np.ones(120, dtype=bool))
    theirs = linear.LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000, tol=1e-8)
    theirs.fit(matrix, labels)
    assert fit_logistic_regression(matrix, labels)[:-1] == pytest.approx(theirs.coef_[0], abs=2e-3)
