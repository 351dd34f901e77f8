"""How well a model predicts ordinary text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from worker.engine.engine import Engine

TEXTS = sorted(Path(__file__).parent.glob("*.txt"))
WINDOW_TOKENS = 256  # enough context for ordinary text, with little memory
BATCH_WINDOWS = 4


def text_windows(engine: Engine) -> torch.Tensor:
    """The general text as token ids, (windows, WINDOW_TOKENS); an incomplete window is dropped.

    Each window begins with the token that begins a text for this model, where it has one (Llama 3
    and Gemma do, and predict badly without it).
    """
    tokenizer = engine.loaded.tokenizer
    start = [one for one in tokenizer("").input_ids if one == tokenizer.bos_token_id]
    window = min(WINDOW_TOKENS, engine.loaded.context_length) - len(start)
    ids: list[int] = []
    for path in TEXTS:
        ids += tokenizer(path.read_text("utf-8"), add_special_tokens=False).input_ids
    whole = len(ids) // window * window
    return torch.tensor([[*start, *ids[at : at + window]] for at in range(0, whole, window)])


def mean_loss(engine: Engine, adapter: Path | None, windows: torch.Tensor) -> float:
    """Mean cross-entropy in nats per token, without the first token of each window."""

    def measure() -> float:
        name = engine.adapters.load(adapter)
        total = 0.0
        for batch in windows.split(BATCH_WINDOWS):
            ids = batch.to(engine.loaded.device)
            engine.adapters.select([name] * len(ids))
            scores = engine.loaded.model(input_ids=ids, use_cache=False).logits[:, :-1].float()
            total += float(
                cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
            )
        return total / (windows.shape[0] * (windows.shape[1] - 1))

    return engine.call(measure)


def perplexity_ratio(tuned: float, base: float) -> float:
    """Perplexity of the tuned model over that of the base, from mean losses: 1.05 is 5 % harder."""
    return math.exp(tuned - base)
