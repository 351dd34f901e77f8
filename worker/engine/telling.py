"""How sure the model was of each token: log-probabilities, in the form that OpenAI's API gives.

They are the model's own, before temperature, penalties or a form narrow the choice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worker.engine.vocabulary import Vocabulary

LEAST = -9999.0  # what OpenAI writes for "as good as impossible"; JSON knows no infinity

Entry = dict[str, Any]


class Teller:
    """Notes each token that a row writes, and the `most` likeliest of its place (0 to 20)."""

    def __init__(self, vocabulary: Vocabulary, most: int) -> None:
        self.vocabulary, self.most = vocabulary, most
        self.entries: list[Entry] = []

    def note(self, scores: Tensor, token: int) -> None:
        """`scores` (vocabulary,): what the model gave, from which `token` was chosen."""
        sure = torch.log_softmax(scores, dim=-1)
        entry = self._entry(token, float(sure[token]))
        entry["top_logprobs"] = []
        if self.most:
            best = sure.topk(min(self.most, len(sure)))
            entry["top_logprobs"] = [
                self._entry(other, value)
                for value, other in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
        self.entries.append(entry)

    def _entry(self, token: int, sure: float) -> Entry:
        spelled = self.vocabulary.bytes_of(token)
        return {
            "token": spelled.decode("utf-8", errors="replace"),
            "logprob": max(sure, LEAST),
            "bytes": list(spelled),
        }
