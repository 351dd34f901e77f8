"""Continuous batching with the model's own forward pass, for any architecture with a KV cache.

A prompt is read in two parts. All its tokens but the last are prefilled together with those of
other new sequences, which only fills the KV cache. The last token is then part of an ordinary
step, together with the sequences that were already decoding. So tokens are selected in one place,
and the LM head never runs over a whole prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from worker.engine.adapters import Adapters
from worker.engine.kv_cache import SlotKVCache
from worker.engine.model_loader import LoadedModel
from worker.engine.sequences import SequenceState
from worker.engine.slot_decoder import SlotDecoder

PREFILL_TOKENS = 4096  # most padded tokens in one prefill, to bound its memory
MIN_LENGTH_RATIO = 0.6  # of the longest prompt in a prefill; shorter ones would be mostly padding


class PaddedDecoder(SlotDecoder):
    """Prefills prompts of similar length together, the shorter ones padded."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self._forward = TransformersForward(loaded, adapters)
        super().__init__(loaded, adapters, self._forward.cache)
        self._masks = AttentionMasks(loaded)

    def add(self, sequences: Sequence[SequenceState]) -> None:
        """Give each sequence a slot and prefill its prompt."""
        self._set_scopes(sequences)
        first: list[SequenceState] = []
        # These begin as one of the first does, and copy what it has read.
        others: list[SequenceState] = []
        for sequence in sequences:
            (others if self._longest_overlap(sequence, first) else first).append(sequence)
        self._prefill_all(first)
        self._prefill_all(others)

    def next_logits(self) -> tuple[list[SequenceState], Tensor]:
        """Here all sequences come to their next token."""
        device = self.loaded.device
        position_ids = torch.tensor([one.length - 1 for one in self.sequences], device=device)
        width = max(one.length for one in self.sequences)
        input_ids = torch.tensor([[one.last_token] for one in self.sequences], device=device)
        self._forward.cache.set_decode(position_ids, width)
        mask = self._masks.decode(position_ids, width)
        adapters = [one.adapter for one in self.sequences]
        logits = self._forward(input_ids, position_ids[:, None], mask, adapters)
        for sequence in self.sequences:
            sequence.cached_tokens += 1
        return self.sequences, logits

    def _prefill_all(self, sequences: Sequence[SequenceState]) -> None:
        """Sequences of similar length share a prefill, which costs count x longest prompt."""
        start = len(self.sequences)
        for sequence in sorted(sequences, key=lambda one: -len(one.prompt_token_ids)):
            self.sequences.append(sequence)
            self._take_cached_prefix(len(self.sequences) - 1)
            overlap = self._longest_overlap(sequence, self.sequences[:start])
            if overlap:
                source, length = overlap
                # The last token of a prompt is read only in the step after its prefill.
                self._copy_beginning(sequence, source, min(length, source.cached_tokens))
        while start < len(self.sequences):
            longest = self.sequences[start].unread_tokens
            end = start + 1
            while end < len(self.sequences) and (end + 1 - start) * longest <= PREFILL_TOKENS:
                if self.sequences[end].unread_tokens < MIN_LENGTH_RATIO * longest:
                    break
                end += 1
            self._prefill(start, end)
            start = end

    def _prefill(self, first: int, last: int) -> None:
        """Read the prompts of slots first..last."""
        batch = self.sequences[first:last]
        start = min(one.cached_tokens for one in batch)
        end = max(len(one.prompt_token_ids) for one in batch) - 1
        if end <= start:
            return
        # Shorter prompts are padded on the right. No real token attends to the padding, and what
        # it leaves in the cache is overwritten before the sequence gets that far.
        input_ids = torch.zeros(len(batch), end - start, dtype=torch.long)
        for i, sequence in enumerate(batch):
            rest = sequence.prompt_token_ids[start:-1]
            input_ids[i, : len(rest)] = torch.tensor(rest)
            sequence.cached_tokens = len(sequence.prompt_token_ids) - 1
        self._forward.cache.set_prefill(first, len(batch), start, end)
        device = self.loaded.device
        position_ids = torch.arange(start, end, device=device).expand(len(batch), -1)
        mask = self._masks.prefill(len(batch), start, end)
        self._forward(input_ids.to(device), position_ids, mask, [one.adapter for one in batch])


class TransformersForward:
    """The model's own forward pass, as transformers computes it.

    input_ids and position_ids (batch, sequence), an attention mask, the adapter of each sequence ->
    logits (batch, vocabulary) after the last column. Writes the KV cache.
    """

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self._model, self._adapters, self.cache = loaded.model, adapters, SlotKVCache()
        accepted = inspect.signature(loaded.model.forward).parameters
        # transformers 5.40 renames past_key_values to cache.
        cache_name = "cache" if "cache" in accepted else "past_key_values"
        self._arguments: dict[str, Any] = {cache_name: self.cache, "use_cache": True}
        if "logits_to_keep" in accepted:
            self._arguments["logits_to_keep"] = 1

    def __call__(
        self, input_ids: Tensor, position_ids: Tensor, mask: Any, adapters: list[str]
    ) -> Tensor:
        self._adapters.select(adapters)
        output = self._model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=mask,
            **self._arguments,
        )
        logits: Tensor = output.logits[:, -1]
        return logits


class AttentionMasks:
    """Attention masks (batch, 1, queries, keys) in the form that the model's layers expect."""

    def __init__(self, loaded: LoadedModel) -> None:
        config = loaded.model.config.get_text_config()
        self.sliding_window = getattr(config, "sliding_window", None)
        self.layer_types = set(getattr(config, "layer_types", None) or ())
        # Eager attention adds its mask to the scores; sdpa also accepts a boolean one.
        self.additive = config._attn_implementation == "eager"
        self.dtype, self.device = loaded.dtype, loaded.device

    def prefill(self, count: int, start: int, end: int) -> Any:
        """Tokens start..end: each attends to itself and to those before it."""
        position_ids = torch.arange(start, end, device=self.device).expand(count, -1)
        return self._build(position_ids, end)

    def decode(self, position_ids: Tensor, width: int) -> Any:
        """One new token per sequence, at position_ids (batch,)."""
        return self._build(position_ids[:, None], width)

    def _build(self, queries: Tensor, width: int) -> Any:
        keys = torch.arange(width, device=self.device)[None, None, None, :]
        query = queries[:, None, :, None]
        full = keys <= query
        window = self.sliding_window
        sliding = full if window is None else full & (keys > query - window)
        if self.layer_types == {"full_attention"}:
            return self._convert(full)
        if len(self.layer_types) > 1:  # such models take a mask for each type of layer
            return {
                "full_attention": self._convert(full),
                "sliding_attention": self._convert(sliding),
            }
        return self._convert(sliding)

    def _convert(self, visible: Tensor) -> Tensor:
        if not self.additive:
            return visible
        mask = torch.zeros(visible.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(~visible, torch.finfo(self.dtype).min)
