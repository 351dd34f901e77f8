"""Continuous batching: sequences join, every step writes one token of each, sequences leave.

A prompt is read in two parts. All its tokens but the last are prefilled together with those of
other new sequences, which only fills the KV cache. The last token is then part of an ordinary
step, together with the sequences that were already decoding. So tokens are selected in one place,
and the LM head never runs over a whole prompt. Prefixes that several prompts share are computed
once (prefix_cache.py).

Everything here runs in torch.inference_mode, entered once by the engine's thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.engine.adapters import BASE, Adapters
from worker.engine.kv_cache import SlotKVCache
from worker.engine.model_loader import LoadedModel
from worker.engine.prefix_cache import CachedPrefix, PrefixCache, TokenIds
from worker.engine.sampling import select_tokens
from worker.engine.sequences import SequenceState

PREFILL_TOKENS = 4096  # most padded tokens in one prefill, to bound its memory
MIN_LENGTH_RATIO = 0.6  # of the longest prompt in a prefill; shorter ones would be mostly padding


class SlotDecoder:
    """Decodes any number of sequences at once, each in its own slot of the KV cache.

    joins_at_any_step: whether one that joins alone costs the others little.
    """

    joins_at_any_step = False

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self.loaded, self.adapters = loaded, adapters
        self.sequences: list[SequenceState] = []  # in the order of their slots
        self.cache = SlotKVCache()
        self.prefixes = PrefixCache()
        self._masks = AttentionMasks(loaded)
        self._forward = TransformersForward(loaded, adapters, self.cache)

    def add(self, sequences: Sequence[SequenceState]) -> None:
        """Give each sequence a slot and prefill its prompt, except for cached prefixes."""
        for prefix, group in self._by_prefix(sequences):
            cached = len(prefix.token_ids) if prefix else 0
            waiting = sorted(group, key=lambda one: len(one.prompt_token_ids))
            while waiting:
                # Sequences of similar length share a prefill, which costs count x longest prompt.
                batch = [waiting.pop()]
                longest = len(batch[0].prompt_token_ids) - cached
                while waiting and (len(batch) + 1) * longest <= PREFILL_TOKENS:
                    length = len(waiting[-1].prompt_token_ids) - cached
                    if length < MIN_LENGTH_RATIO * longest:
                        break
                    batch.append(waiting.pop())
                self._prefill(batch, prefix)

    def step(self) -> None:
        """Write one token of every sequence whose prompt has been read."""
        ready, logits = self.next_logits()
        for sequence, token in zip(ready, select_tokens(ready, logits), strict=True):
            sequence.append(token)

    def remove_finished(self) -> list[SequenceState]:
        """Free the slots of finished and cancelled sequences; returns those."""
        finished = [one for one in self.sequences if one.is_finished]
        for sequence in finished:
            slot = self.sequences.index(sequence)
            last = self.sequences.pop()
            if last is not sequence:  # the last one moves into the gap: slots stay contiguous
                self.cache.move(len(self.sequences), slot, last.length)
                self.sequences[slot] = last
        if not self.sequences:
            self.cache.clear()
        return finished

    def reset(self) -> None:
        """Drop every sequence, whatever state a failure left behind."""
        self.sequences = []
        self.cache.clear()

    def next_logits(self) -> tuple[list[SequenceState], Tensor]:
        """Run each sequence's last token; returns the sequences that have come to their next one,
        here all, and its logits (sequences, vocabulary)."""
        device = self.loaded.device
        position_ids = torch.tensor([one.length - 1 for one in self.sequences], device=device)
        width = max(one.length for one in self.sequences)
        input_ids = torch.tensor([[one.last_token] for one in self.sequences], device=device)
        self.cache.set_decode(position_ids, width)
        mask = self._masks.decode(position_ids, width)
        adapters = [one.adapter for one in self.sequences]
        return self.sequences, self._forward(input_ids, position_ids[:, None], mask, adapters)

    def _by_prefix(
        self, sequences: Sequence[SequenceState]
    ) -> Iterable[tuple[CachedPrefix | None, list[SequenceState]]]:
        """Sequences grouped by cached prefix; a new shared prefix is computed first."""
        available = (BASE, *self.adapters.names)
        self.prefixes.retain({self.adapters.identity(name) for name in available})
        groups: dict[int, tuple[CachedPrefix | None, list[SequenceState]]] = {}
        for sequence in sequences:
            adapter = self.adapters.identity(sequence.adapter)
            prefix = self.prefixes.find(adapter, sequence)
            if prefix is None:
                peers = [other for other in sequences if other.adapter == sequence.adapter]
                shared = self.prefixes.shared_prefix(adapter, sequence, peers)
                prefix = self._compute_prefix(shared, sequence.adapter) if shared else None
            self.prefixes.note_prompt(adapter, sequence)
            groups.setdefault(id(prefix), (prefix, []))[1].append(sequence)
        return groups.values()

    def _compute_prefix(self, token_ids: TokenIds, adapter: str) -> CachedPrefix:
        """Prefill a prefix in the first free slot and cache it."""
        slot = len(self.sequences)
        self._read_prefix(slot, token_ids, adapter)
        prefix = CachedPrefix(token_ids, self.cache.read_prefix(slot, len(token_ids)))
        self.prefixes.add(self.adapters.identity(adapter), prefix)
        return prefix

    def _read_prefix(self, slot: int, token_ids: TokenIds, adapter: str) -> None:
        length = len(token_ids)
        self.cache.set_prefill(slot, 1, 0, length)
        position_ids = torch.arange(length, device=self.loaded.device)[None]
        mask = self._masks.prefill(1, 0, length)
        input_ids = torch.tensor([token_ids], device=self.loaded.device)
        self._forward(input_ids, position_ids, mask, [adapter])

    def _prefill(self, batch: list[SequenceState], prefix: CachedPrefix | None) -> None:
        first, start = len(self.sequences), len(prefix.token_ids) if prefix else 0
        end = max(len(one.prompt_token_ids) for one in batch) - 1
        self.sequences.extend(batch)
        if prefix:
            self.cache.write_prefix(first, len(batch), prefix.layers)
        if end == start:
            return
        # Shorter prompts are padded on the right. No real token attends to the padding, and what
        # it leaves in the cache is overwritten before the sequence gets that far.
        input_ids = torch.zeros(len(batch), end - start, dtype=torch.long)
        for i, sequence in enumerate(batch):
            rest = sequence.prompt_token_ids[start:-1]
            input_ids[i, : len(rest)] = torch.tensor(rest)
        self.cache.set_prefill(first, len(batch), start, end)
        device = self.loaded.device
        position_ids = torch.arange(start, end, device=device).expand(len(batch), -1)
        mask = self._masks.prefill(len(batch), start, end)
        self._forward(input_ids.to(device), position_ids, mask, [one.adapter for one in batch])


class TransformersForward:
    """The model's own forward pass, as transformers computes it.

    input_ids and position_ids (batch, sequence), an attention mask, the adapter of each sequence ->
    logits (batch, vocabulary) after the last column. Writes the KV cache.
    """

    def __init__(self, loaded: LoadedModel, adapters: Adapters, cache: SlotKVCache) -> None:
        self._model, self._adapters = loaded.model, adapters
        accepted = inspect.signature(loaded.model.forward).parameters
        # transformers 5.40 renames past_key_values to cache.
        cache_name = "cache" if "cache" in accepted else "past_key_values"
        self._arguments: dict[str, Any] = {cache_name: cache, "use_cache": True}
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
