"""Checks whether an adapter changes the model's output: some load without an error and do nothing.

Three sequences read the same text in one batch: the base model, the base model again, and the base
model with the adapter. The difference between the first two is what rounding alone does here.
"""

from __future__ import annotations

import torch

from finetune_app.core.chat_messages import Message
from worker.engine.adapters import BASE, Adapters, BadAdapter
from worker.engine.model_loader import LoadedModel
from worker.template import prompt_token_ids

CHECK_PROMPT = "Hello! Where is my order, and what can you do for me? Answer in two sentences."
ROUNDING_FACTOR = 4.0  # a change must exceed this many times the rounding
MIN_CHANGE = 1e-5  # of a log-probability, where rounding changes nothing
NO_EFFECT = (
    "This adapter changes nothing: with it the model answers exactly as without it. "
    "Train it again, on more examples or for longer."
)
DAMAGED = "This adapter is damaged: with it the model gives no numbers. Train it again."


class AdapterHasNoEffect(BadAdapter):
    """With this adapter the model answers as without it, or gives no numbers at all."""


class AdapterChecks:
    """Checks each adapter once, and again when its file changes. Runs on the engine's thread."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self._loaded, self._adapters = loaded, adapters
        self._problems: dict[object, str] = {}

    def require_effect(self, name: str) -> None:
        """`name` as `Adapters.load` returned it. Raises AdapterHasNoEffect."""
        identity = self._adapters.identity(name)
        if name != BASE and identity not in self._problems:
            self._problems[identity] = self._check(name)
        problem = self._problems.get(identity)
        if problem:
            raise AdapterHasNoEffect(problem)

    def _check(self, name: str) -> str:
        """What is wrong with an adapter, or ""."""
        messages: list[Message] = [{"role": "user", "content": CHECK_PROMPT}]
        token_ids = prompt_token_ids(self._loaded.tokenizer, messages)
        self._adapters.select([BASE, BASE, name])
        logits = self._loaded.model(
            input_ids=torch.tensor([token_ids] * 3, device=self._loaded.device), use_cache=False
        ).logits.float()
        base, again, tuned = torch.log_softmax(logits, dim=-1)
        if not bool(torch.isfinite(tuned).all()):
            return DAMAGED
        change, rounding = float((tuned - base).abs().max()), float((again - base).abs().max())
        return NO_EFFECT if change <= max(ROUNDING_FACTOR * rounding, MIN_CHANGE) else ""
