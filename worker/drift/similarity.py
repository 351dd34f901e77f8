"""Which live prompts are least like anything it learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.drift.classifier import same_text, terms_of, weighted

AT_ONCE = 250  # live prompts held against all others in one go


def least_alike(
    learned: Sequence[str], live: Sequence[str], most: int = 5
) -> list[tuple[int, float]]:
    """(place in `live`, likeness to the nearest learned prompt: 0 no word in common, 1 the same
    words), the strangest first. The same text counts once, its newest place; a text without words
    is like nothing and says nothing, so it is left out."""
    bags = [terms_of(text) for text in [*learned, *live]]
    words = {term: at for at, term in enumerate(dict.fromkeys(t for bag in bags for t in bag))}
    known = np.array([True] * len(learned) + [False] * len(live))
    matrix = weighted(bags, words, known)
    taught, asked = matrix[: len(learned)].T.tocsc(), matrix[len(learned) :]
    nearest = np.concatenate(
        [
            np.asarray((asked[at : at + AT_ONCE] @ taught).max(axis=1).todense()).ravel()
            for at in range(0, len(live), AT_ONCE)
        ]
    )
    places = {same_text(text): at for at, text in enumerate(live)}
    found = sorted((float(nearest[at]), at) for text, at in places.items() if text)
    return [(at, min(likeness, 1.0)) for likeness, at in found[:most]]
