"""How well a model predicts ordinary text: for the general check, and while a model learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

WINDOW_TOKENS = 256  # enough context for ordinary text, with little memory


def token_windows(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, context_length: int
) -> torch.Tensor:
    """The texts as token ids, (windows, WINDOW_TOKENS); an incomplete window is dropped.

    Each window begins with the token that begins a text for this model, where it has one (Llama 3
    and Gemma do, and predict badly without it).
    """
    start = [one for one in tokenizer("").input_ids if one == tokenizer.bos_token_id]
    window = min(WINDOW_TOKENS, context_length) - len(start)
    ids: list[int] = []
    for text in texts:
        ids += tokenizer(text, add_special_tokens=False).input_ids
    whole = len(ids) // window * window
    return torch.tensor([[*start, *ids[at : at + window]] for at in range(0, whole, window)])


@torch.no_grad()
def mean_loss(
    windows: torch.Tensor, logits: Callable[[torch.Tensor], torch.Tensor], batch: int
) -> float:
    """Mean cross-entropy in nats per token, without the first token of each window.

    logits: (batch, window) token ids -> (batch, window, vocabulary), on one device.
    """
    total = 0.0
    for part in windows.split(batch):
        scores = logits(part)[:, :-1].float()
        targets = part[:, 1:].to(scores.device).flatten()
        total += float(cross_entropy(scores.flatten(0, 1), targets, reduction="sum"))
    return total / (windows.shape[0] * (windows.shape[1] - 1))


def perplexity_ratio(tuned: float, base: float) -> float:
    """Perplexity of the tuned model over that of the base, from mean losses: 1.05 is 5 % harder."""
    return math.exp(tuned - base)
