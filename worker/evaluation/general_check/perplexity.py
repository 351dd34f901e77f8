"""How much ordinary text surprises a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from worker.engine.engine import Engine

TEXTS = sorted(Path(__file__).parent.glob("*.txt"))
WINDOW = 256  # tokens read at once; enough context for ordinary text, and gentle on memory
ROWS = 4  # windows in one forward


def text_windows(engine: Engine) -> torch.Tensor:
    """The general text as token ids (windows, WINDOW); what does not fill a window is left out."""
    window = min(WINDOW, engine.loaded.context)
    ids: list[int] = []
    for path in TEXTS:
        ids += engine.loaded.tokenizer(path.read_text("utf-8"), add_special_tokens=False).input_ids
    whole = len(ids) // window * window
    return torch.tensor(ids[:whole]).view(-1, window)


def surprise(engine: Engine, adapter: Path | None, windows: torch.Tensor) -> float:
    """Mean negative log-likelihood in nats a token, first token of each window left out."""

    def measure() -> float:
        name = engine.adapters.load(adapter)
        total = 0.0
        for batch in windows.split(ROWS):
            ids = batch.to(engine.loaded.device)
            engine.adapters.select([name] * len(ids))
            scores = engine.loaded.model(input_ids=ids, use_cache=False).logits[:, :-1].float()
            total += float(
                cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
            )
        return total / (windows.shape[0] * (windows.shape[1] - 1))

    return engine.call(measure)


def ratio(tuned: float, base: float) -> float:
    """Perplexity of the tuned model over the base's: 1.05 means 5% harder to predict."""
    return math.exp(tuned - base)
