"""The slower way, for architectures whose memory is not the standard key-value cache.

State-space and hybrid models keep a running state that cannot be addressed by slot. They are
served by transformers' own `generate` on a left-padded batch: whole answers at a time, no row
joins half-way, pieces arrive only at the end. Adapters mix here too.
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
from worker.engine.sequences import SequenceState
from worker.engine.slot_decoder import choose_tokens


class GenerateDecoder:
    """Same surface as SlotDecoder; a step writes a batch's answers from beginning to end."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self.loaded, self.adapters = loaded, adapters
        self.rows: list[SequenceState] = []

    def join(self, rows: Sequence[SequenceState]) -> None:
        """Queue rows for the next step."""
        self.rows.extend(rows)

    def step(self) -> None:
        """Answer all rows in one batch, each choosing its tokens as it was asked to."""
        self._answer([row for row in self.rows if not row.over])

    def drop_finished(self) -> list[SequenceState]:
        """Remove and return the rows that are over or cancelled."""
        gone = [row for row in self.rows if row.over]
        self.rows = [row for row in self.rows if row not in gone]
        return gone

    def reset(self) -> None:
        """Forget every row."""
        self.rows = []

    def _answer(self, rows: list[SequenceState]) -> None:
        longest = max(len(row.prompt) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, longest - len(row.prompt) :] = torch.tensor(row.prompt)
            mask[i, longest - len(row.prompt) :] = 1
        self.adapters.select([row.adapter for row in rows])
        self.loaded.model.generate(
            input_ids=ids.to(self.loaded.device),
            attention_mask=mask.to(self.loaded.device),
            max_new_tokens=max(row.room for row in rows),
            do_sample=False,
            eos_token_id=sorted(self.loaded.ends) or None,
            pad_token_id=min(self.loaded.ends, default=0),
            logits_processor=LogitsProcessorList([_Writing(rows)]),
            stopping_criteria=StoppingCriteriaList([_AllOver(rows)]),
        )


class _Writing(LogitsProcessor):
    """Writes each row's next token, and leaves `generate` no other choice than that token."""

    def __init__(self, rows: list[SequenceState]) -> None:
        self.rows = rows

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        tokens = choose_tokens(self.rows, scores)
        for row, token in zip(self.rows, tokens, strict=True):
            if not row.over:
                row.add(token)
        only = torch.full_like(scores, -torch.inf)
        return only.scatter_(1, torch.tensor(tokens, device=scores.device)[:, None], 0.0)


class _AllOver(StoppingCriteria):
    """Ends the batch once its rows are over, or nobody wants them any more."""

    def __init__(self, rows: list[SequenceState]) -> None:
        self.rows = rows

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        over = all(row.over for row in self.rows)
        return torch.full((input_ids.shape[0],), over, device=input_ids.device)
