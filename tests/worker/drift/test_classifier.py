"""Drift detection: finds changed prompts, and reports none where nothing changed."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from finetune_app.guide.sample import mailbox
from finetune_app.monitoring.drift_limits import MAX_PROMPTS, MIN_PROMPTS
from tests.worker.drift.prompts import THINGS, random_prompts
from worker.drift.classifier import (
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


def test_validation_emails_are_no_drift(emails):
    found = detect_drift(emails["train"], emails["validation"])
    assert found is not None
    assert not found.drifted
    assert found.auc < found.by_chance


def test_questions_about_another_topic_are_drift(emails):
    """Real prompts of the handbook benchmark, for a model that sorts bike shop emails."""
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
def test_similar_prompts_are_rarely_drift(seed):
    """One in twenty by design; none of these five."""
    found = detect_drift(random_prompts(120, THINGS, seed), random_prompts(60, THINGS, seed + 100))
    assert not found.drifted


def test_new_topics_are_found_and_named():
    live = random_prompts(60, THINGS, 1) + random_prompts(40, ["battery", "charger", "display"], 2)
    found = detect_drift(random_prompts(200, THINGS, 3), live)
    assert found.drifted
    assert {"battery", "charger", "display"} <= set(found.new_words)
    assert not {"battery", "charger", "display"} & set(found.missing_words)


def test_repeats_of_a_training_prompt_are_no_drift():
    """Equal texts share a fold, so repeating one does not raise the score."""
    learned = random_prompts(100, THINGS, 4)
    found = detect_drift(learned, [learned[0]] * 40 + random_prompts(60, THINGS, 5))
    assert found.auc < 0.75


def test_the_same_few_questions_again_and_again_are_no_drift():
    """Each is one observation, however often it is asked."""
    learned = random_prompts(300, THINGS, 6)
    found = 0
    for seed in range(8):
        asked = random_prompts(40, THINGS, 100 + seed)
        found += detect_drift(learned, [asked[n % 40] for n in range(0, 1000, 7)]).drifted
    assert found <= 1


def test_a_word_of_one_text_is_not_named_however_often_it_is_sent():
    """It may identify a person."""
    live = random_prompts(60, ["battery"], 7) + ["Where is Annegret's battery?"] * 9
    found = detect_drift(random_prompts(120, THINGS, 8), live)
    assert "battery" in found.new_words
    assert "annegret" not in found.new_words


def test_too_few_prompts_have_no_result():
    assert (
        detect_drift(random_prompts(MIN_PROMPTS - 1, THINGS, 1), random_prompts(100, THINGS, 2))
        is None
    )
    assert detect_drift(random_prompts(100, THINGS, 1), []) is None


def test_only_the_newest_live_prompts_are_used():
    old, new = random_prompts(MAX_PROMPTS, ["unicycle"], 1), random_prompts(MAX_PROMPTS, THINGS, 2)
    found = detect_drift(random_prompts(150, THINGS, 3), [*old[:100], *new])
    assert found.live == MAX_PROMPTS
    assert "unicycle" not in found.new_words


def test_results_are_deterministic_and_json():
    given = random_prompts(60, THINGS, 1), random_prompts(60, ["battery"], 2)
    assert detect_drift(*given) == detect_drift(*given)
    assert detect_drift(*given).to_json()["drifted"] is True


@pytest.mark.parametrize("text", ["", "   ", "\x00", "🚲🚲", "1234"])
def test_texts_without_words_are_no_drift(text):
    found = detect_drift([text] * 40, [text] * 40)
    assert not found.drifted


def test_roc_auc_equals_the_rank_test():
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 80), rng.integers(0, 9, 80)  # with ties
    u = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    assert roc_auc(labels, scores) == pytest.approx(u / (labels.sum() * (80 - labels.sum())))


def test_weights_equal_those_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    texts = random_prompts(60, THINGS, 1) + random_prompts(60, ["battery", "saddle"], 2)
    counts = [term_counts(text) for text in texts]
    labels = np.array([0] * 60 + [1] * 60)
    vocabulary = {term: column for column, term in enumerate(sorted(set().union(*counts)))}
    matrix = tfidf_matrix(counts, vocabulary, np.ones(120, dtype=bool))
    theirs = linear.LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000, tol=1e-8)
    theirs.fit(matrix, labels)
    assert fit_logistic_regression(matrix, labels)[:-1] == pytest.approx(theirs.coef_[0], abs=2e-3)
