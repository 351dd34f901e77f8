"""Static batches by transformers' `generate`, for architectures without a standard KV cache.

State-space and hybrid models keep a recurrent state that cannot be addressed by slot. They are
served by `generate` on a left-padded batch: whole answers at a time, no sequence joins half-way,
text arrives only at the end. Adapters can be mixed here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from worker.engine.adapters import Adapters
from worker.engine.model_loader import LoadedModel
from worker.engine.sampling import select_tokens
from worker.engine.sequences import SequenceState


class GenerateDecoder:
    """The interface of SlotDecoder; one step writes all answers of a batch completely."""

    joins_at_any_step = False

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self.loaded, self.adapters = loaded, adapters
        self.sequences: list[SequenceState] = []

    def add(self, sequences: Sequence[SequenceState]) -> None:
        """Add sequences to the next step's batch."""
        self.sequences.extend(sequences)

    def step(self) -> None:
        """Answer all sequences in one batch."""
        # All may have been cancelled since they were added.
        if unfinished := [one for one in self.sequences if not one.is_finished]:
            self._generate(unfinished)

    def remove_finished(self) -> list[SequenceState]:
        """Remove and return finished and cancelled sequences."""
        finished = [one for one in self.sequences if one.is_finished]
        self.sequences = [one for one in self.sequences if one not in finished]
        return finished

    def reset(self) -> None:
        """Drop every sequence."""
        self.sequences = []

    def _generate(self, sequences: list[SequenceState]) -> None:
        longest = max(len(one.prompt_token_ids) for one in sequences)
        input_ids = torch.zeros(len(sequences), longest, dtype=torch.long)
        attention_mask = torch.zeros_like(input_ids)
        for i, sequence in enumerate(sequences):
            start = longest - len(sequence.prompt_token_ids)
            input_ids[i, start:] = torch.tensor(sequence.prompt_token_ids)
            attention_mask[i, start:] = 1
        self.adapters.select([one.adapter for one in sequences])
        self.loaded.model.generate(
            input_ids=input_ids.to(self.loaded.device),
            attention_mask=attention_mask.to(self.loaded.device),
            max_new_tokens=max(one.max_new_tokens for one in sequences),
            do_sample=False,
            eos_token_id=sorted(self.loaded.eos_token_ids) or None,
            pad_token_id=min(self.loaded.eos_token_ids, default=0),
            logits_processor=LogitsProcessorList([_SelectTokens(sequences)]),
            stopping_criteria=StoppingCriteriaList([_AllFinished(sequences)]),
        )


class _SelectTokens(LogitsProcessor):
    """Selects each sequence's next token, and leaves `generate` no other choice."""

    def __init__(self, sequences: list[SequenceState]) -> None:
        self.sequences = sequences

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        tokens = select_tokens(self.sequences, scores)
        for place, (sequence, token) in enumerate(zip(self.sequences, tokens, strict=True)):
            if not sequence.is_finished:
                sequence.append(token)
                tokens[place] = sequence.output_token_ids[-1]  # another one at a thought's end
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter_(1, torch.tensor(tokens, device=scores.device)[:, None], 0.0)


class _AllFinished(StoppingCriteria):
    """Ends the batch once every sequence is finished or cancelled."""

    def __init__(self, sequences: list[SequenceState]) -> None:
        self.sequences = sequences

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        finished = all(one.is_finished for one in self.sequences)
        return torch.full((input_ids.shape[0],), finished, device=input_ids.device)
