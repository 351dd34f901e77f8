"""Embeddings for the measure that compares meaning, from the engine: the web loads no model."""

import asyncio
from collections.abc import Sequence

from asgiref.sync import async_to_sync

from finetune_app.core import engine_client
from finetune_app.goals.measures import MeaningSimilarity, Measure, NeedsEmbedder
from finetune_app.goals.models import Goal

MAX_CHARACTERS = 8_000  # of one text; more than the model reads
TIMEOUT_SECONDS = 60.0  # the first call loads the model


def with_embedder(
    measure: Measure, goal: Goal, timeout_seconds: float = TIMEOUT_SECONDS
) -> Measure:
    """The goal's measure, able to compare meanings where it does; `check` then may raise
    NeedsEmbedder."""
    if isinstance(measure, MeaningSimilarity):
        caller = f"goal {goal.pk}"
        measure.use_embedder(lambda texts: engine_vectors(texts, caller, timeout_seconds))
    return measure


@async_to_sync
async def engine_vectors(
    texts: list[str], caller: str, timeout_seconds: float
) -> Sequence[Sequence[float]]:
    """A vector of length 1 for each text. Raises NeedsEmbedder while the engine cannot answer."""
    try:
        async with asyncio.timeout(timeout_seconds):
            vectors, _tokens = await engine_client.embed(
                [text[:MAX_CHARACTERS] for text in texts], whole=False, caller=caller
            )
    except (engine_client.EngineUnavailable, TimeoutError) as problem:
        raise NeedsEmbedder(str(problem)) from problem
    return vectors
