"""Log-probabilities of the tokens of an answer, in the format of OpenAI's API.

They are the model's own: before temperature, penalties and a schema change the logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.engine.requests import GenerationRequest, TokenLogprob
from worker.engine.vocabulary import Vocabulary

MIN_LOGPROB = -9999.0  # what OpenAI writes for an impossible token; JSON has no infinity


class LogprobRecorder:
    """Records the tokens of one answer, with the `top` (0 to 20) most likely alternatives."""

    def __init__(self, vocabulary: Vocabulary, top: int) -> None:
        self.vocabulary, self.top = vocabulary, top
        self.entries: list[TokenLogprob] = []

    @classmethod
    def for_request(
        cls, request: GenerationRequest, vocabulary: Vocabulary
    ) -> LogprobRecorder | None:
        """A recorder where the request asks for log-probabilities."""
        return None if request.top_logprobs is None else cls(vocabulary, request.top_logprobs)

    def record(self, logits: Tensor, token: int) -> None:
        """Add the token that was selected from `logits` (vocabulary,)."""
        logprobs = torch.log_softmax(logits, dim=-1)
        best = logprobs.topk(min(self.top, len(logprobs)))
        alternatives = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        self.add(token, float(logprobs[token]), list(alternatives))

    def add(self, token: int, logprob: float, alternatives: Sequence[tuple[int, float]]) -> None:
        """Add a token whose log-probability is known; (token, logprob) pairs, best first."""
        entry = self._entry(token, logprob)
        entry["top_logprobs"] = [self._entry(*one) for one in alternatives[: self.top]]
        self.entries.append(entry)

    def _entry(self, token: int, logprob: float) -> TokenLogprob:
        spelled = self.vocabulary.bytes_of(token)
        return {  # type: ignore[typeddict-item]  # `add` sets top_logprobs where it belongs
            "token": spelled.decode("utf-8", errors="replace"),
            "logprob": max(logprob, MIN_LOGPROB),
            "bytes": list(spelled),
        }
