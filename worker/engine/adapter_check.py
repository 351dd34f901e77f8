"""Whether an adapter changes anything: some are read without a fault and leave the base as it is.

Three rows read the same text in one batch: the base, the base again, and the base with the adapter.
How far the first two are apart is what rounding alone does here.
"""

from __future__ import annotations

import torch

from worker.engine.adapters import BASE, Adapters, BadAdapter
from worker.engine.model_loader import LoadedModel
from worker.template import prompt_token_ids

QUESTION = "Hello! Where is my order, and what can you do for me? Answer in two sentences."
ROUNDING = 4.0  # times what two equal rows differ by
LEAST = 1e-5  # of a log-probability, where they do not differ at all


class AdapterHasNoEffect(BadAdapter):
    """This adapter does not do what an adapter is for."""


class AdapterChecks:
    """On the engine's thread. An adapter is looked at once, and again when its file changed."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self._loaded, self._adapters = loaded, adapters
        self._found: dict[object, str] = {}

    def require(self, name: str) -> None:
        """`name` as `Adapters.load` gave it. Raises AdapterHasNoEffect."""
        identity = self._adapters.identity(name)
        if name != BASE and identity not in self._found:
            self._found[identity] = self._look(name)
        why = self._found.get(identity)
        if why:
            raise AdapterHasNoEffect(why)

    def _look(self, name: str) -> str:
        """What is wrong with it; "" if nothing is."""
        tokenizer = self._loaded.tokenizer
        ids = prompt_token_ids(tokenizer, [{"role": "user", "content": QUESTION}])
        self._adapters.select([BASE, BASE, name])
        scores = self._loaded.model(
            input_ids=torch.tensor([ids] * 3, device=self._loaded.device), use_cache=False
        ).logits.float()
        base, again, tuned = torch.log_softmax(scores, dim=-1)
        if not bool(torch.isfinite(tuned).all()):
            return "This adapter is damaged: with it the model gives no numbers. Train it again."
        change, noise = float((tuned - base).abs().max()), float((again - base).abs().max())
        if change <= max(ROUNDING * noise, LEAST):
            return (
                "This adapter changes nothing: with it the model answers exactly as without it. "
                "Train it again, on more examples or for longer."
            )
        return ""
