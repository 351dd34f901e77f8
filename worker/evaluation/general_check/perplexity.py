"""How well a model predicts ordinary text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from worker import perplexity

if TYPE_CHECKING:
    from worker.engine.engine import Engine

TEXTS = sorted(Path(__file__).parent.glob("*.txt"))
BATCH_WINDOWS = 4


def text_windows(engine: Engine) -> torch.Tensor:
    """The general text as token ids, (windows, tokens); see `perplexity.token_windows`."""
    texts = (path.read_text("utf-8") for path in TEXTS)
    return perplexity.token_windows(texts, engine.loaded.tokenizer, engine.loaded.context_length)


def mean_loss(engine: Engine, adapter: Path | None, windows: torch.Tensor) -> float:
    """Mean cross-entropy in nats per token; see `perplexity.mean_loss`."""

    def measure() -> float:
        name = engine.adapters.load(adapter)

        def logits(ids: torch.Tensor) -> torch.Tensor:
            engine.adapters.select([name] * len(ids))
            found: torch.Tensor = engine.loaded.model(
                input_ids=ids.to(engine.loaded.device), use_cache=False
            ).logits
            return found

        return perplexity.mean_loss(windows, logits, BATCH_WINDOWS)

    return engine.call(measure)
