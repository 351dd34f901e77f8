"""Select the next token of every sequence of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worker.engine.sequences import SequenceState


def select_tokens(sequences: Sequence[SequenceState], logits: Tensor) -> list[int]:
    """The next token of each sequence, from logits (batch, vocabulary)."""
    greedy: list[int] = logits.argmax(dim=-1).tolist()
    return [
        sequence.select_token(logits[i], greedy[i])
        if sequence.needs_logits and not sequence.is_finished
        else greedy[i]
        for i, sequence in enumerate(sequences)
    ]
