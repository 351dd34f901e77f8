"""How well a model predicts ordinary text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from worker import perplexity

if TYPE_CHECKING:
    from worker.engine.engine import Engine
    from worker.evaluation.paired_engine import PairedEngine

TEXTS = sorted(Path(__file__).parent.glob("*.txt"))
BATCH_WINDOWS = 4


def text_windows(engine: Engine | PairedEngine) -> torch.Tensor:
    """The general text as token ids, (windows, tokens); see `perplexity.token_windows`."""
    texts = (path.read_text("utf-8") for path in TEXTS)
    return perplexity.token_windows(texts, engine.loaded.tokenizer, engine.loaded.context_length)


def mean_loss(engine: Engine | PairedEngine, adapter: Path | None, windows: torch.Tensor) -> float:
    """Mean cross-entropy in nats per token; see `perplexity.mean_loss`."""
    return perplexity.mean_loss(windows, lambda ids: engine.logits(ids, adapter), BATCH_WINDOWS)
