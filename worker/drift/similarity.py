"""Which live prompts are least like any training prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.drift.classifier import normalised_text, term_counts, tfidf_matrix

BATCH_SIZE = 250  # live prompts compared with all training prompts at once


def least_similar(
    training: Sequence[str], live: Sequence[str], most: int = 5
) -> list[tuple[int, float]]:
    """(index in `live`, cosine similarity to the nearest training prompt), the lowest first.

    Similarity is 0 without a common word and 1 for the same words. Of equal texts only the newest
    counts; texts without words are left out.
    """
    counts = [term_counts(text) for text in [*training, *live]]
    terms = dict.fromkeys(term for count in counts for term in count)
    vocabulary = {term: column for column, term in enumerate(terms)}
    is_training = np.array([True] * len(training) + [False] * len(live))
    matrix = tfidf_matrix(counts, vocabulary, is_training)
    training_matrix, live_matrix = matrix[: len(training)].T.tocsc(), matrix[len(training) :]
    nearest = np.concatenate(
        [
            np.asarray(
                (live_matrix[start : start + BATCH_SIZE] @ training_matrix).max(axis=1).todense()
            ).ravel()
            for start in range(0, len(live), BATCH_SIZE)
        ]
    )
    newest = {normalised_text(text): index for index, text in enumerate(live)}
    scores = sorted((float(nearest[index]), index) for text, index in newest.items() if text)
    return [(index, min(score, 1.0)) for score, index in scores[:most]]
