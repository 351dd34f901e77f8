"""The answer means what the wanted one means, by the similarity of their embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import mul

from finetune_app.goals.measures.base import (
    AS_WANTED,
    Measure,
    MeasureSettings,
    NeedsEmbedder,
    Score,
    Setting,
)

Embed = Callable[[list[str]], Iterable[Iterable[float]]]
"""Turns texts into vectors of length 1. Raises NeedsEmbedder where it cannot."""

KEPT_VECTORS = 4_096  # a wanted answer is compared with many


class MeaningSimilarity(Measure):
    """Cosine similarity of the embeddings of both texts, by the model that searches documents.

    Nothing in this room loads a model: whoever has an embedder sets it with `use_embedder`.
    """

    kind = "meaning"
    graded = True
    tells_right = False
    needs_embedder = True
    settings_schema = {"threshold": Setting("share", "How close is close enough", 0.8)}

    def __init__(self, settings: MeasureSettings | None = None) -> None:
        super().__init__(settings)
        self.use_embedder(_no_embedder)

    def use_embedder(self, embed: Embed) -> None:
        @lru_cache(KEPT_VECTORS)
        def vector(text: str) -> tuple[float, ...]:
            (found,) = embed([text])
            return tuple(map(float, found))

        self._vector = vector

    def summary(self) -> str:
        return (
            f"Right when the meaning is at least {self.settings['threshold']:.0%} like that of the "
            "wanted answer, whatever the words. It hardly sees a wrong number, a name, or a “not”."
        )

    def instruction(self) -> str:
        return ""  # few-shot examples show how; a percentage would not

    def _check(self, answer: str, wanted: str) -> Score:
        """Raises NeedsEmbedder where nothing makes embeddings."""
        if answer.split() == wanted.split():
            return AS_WANTED
        if not answer.strip() or not wanted.strip():
            return Score(False, 0.0, "Empty answer")
        value = similarity(self._vector(answer), self._vector(wanted))
        passed = value >= self.settings["threshold"]
        # Rounded down, so that 79.9 % is not shown as the 80 % that it missed.
        return Score(passed, value, f"{'Close' if passed else 'Not close'}: {int(value * 100)}%")


def similarity(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two vectors of length 1, from 0 to 1; opposite is as far as unrelated."""
    cosine = math.fsum(map(mul, one, other))
    return min(max(cosine, 0.0), 1.0)


def _no_embedder(texts: list[str]) -> Iterable[Iterable[float]]:
    raise NeedsEmbedder("Meaning is compared by a model, and that is not here now.")
