"""How sure the model was of each token: log-probabilities, in the form that OpenAI's API gives.

They are the model's own, before temperature, penalties or a form narrow the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from worker.engine.vocabulary import Vocabulary

MIN_LOGPROB = -9999.0  # what OpenAI writes for "as good as impossible"; JSON knows no infinity

TokenLogprob = dict[str, Any]


class LogprobRecorder:
    """Notes each token that a row writes, and the `most` likeliest of its place (0 to 20)."""

    def __init__(self, vocabulary: Vocabulary, most: int) -> None:
        self.vocabulary, self.most = vocabulary, most
        self.entries: list[TokenLogprob] = []

    def record(self, scores: Tensor, token: int) -> None:
        """`scores` (vocabulary,): what the model gave, from which `token` was chosen."""
        sure = torch.log_softmax(scores, dim=-1)
        best = sure.topk(min(self.most, len(sure)))
        likeliest = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        self.add(token, float(sure[token]), list(likeliest))

    def add(self, token: int, sure: float, likeliest: Sequence[tuple[int, float]]) -> None:
        """The same where it is known already: the token's log-probability, and the likeliest
        tokens with theirs, best first."""
        entry = self._entry(token, sure)
        entry["top_logprobs"] = [self._entry(*one) for one in likeliest[: self.most]]
        self.entries.append(entry)

    def _entry(self, token: int, sure: float) -> TokenLogprob:
        spelled = self.vocabulary.bytes_of(token)
        return {
            "token": spelled.decode("utf-8", errors="replace"),
            "logprob": max(sure, MIN_LOGPROB),
            "bytes": list(spelled),
        }
