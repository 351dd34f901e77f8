"""The decode loop: rows join, every step writes one token for each, rows leave.

A prompt is read in two parts. All its tokens but the last go through together with those of
the other newcomers (prefill), which only fills the cache. The last one is then an ordinary
step, shared with the rows that were already writing, so there is one place where tokens are
chosen and the vocabulary layer never runs over a whole prompt. What several prompts begin with
is read once (prefixes.py).

Everything here runs inside torch.inference_mode, entered once by the engine's thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.engine.adapters import BASE, Adapters
from worker.engine.kv_cache import SlotKVCache
from worker.engine.llama_forward import LlamaForward
from worker.engine.model_loader import LoadedModel
from worker.engine.prefix_cache import CachedPrefix, PrefixCache, Tokens
from worker.engine.sequences import SequenceState

PREFILL_TOKENS = 4096  # most padded tokens in one prefill, to bound its memory

# ids and places (rows, tokens), a mask, each row's adapter -> scores (rows, vocabulary) after the
# last column. Writes the cache.
Forward = Callable[[Tensor, Tensor, Any, list[str]], Tensor]


class SlotDecoder:
    """Decodes any number of rows at once, each in its own cache slot."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters, own_forward: bool = False) -> None:
        """own_forward: compute the layers as llama.py does, not as transformers does."""
        self.loaded, self.adapters, self.own_forward = loaded, adapters, own_forward
        self.rows: list[SequenceState] = []
        self.cache = SlotKVCache()
        self.prefixes = PrefixCache()
        self._masks = Masks(loaded)
        kind = LlamaForward if own_forward else ModelForward
        self._forward: Forward = kind(loaded, adapters, self.cache)

    @property
    def merged(self) -> str | None:
        """The adapter that is merged into the weights, where one is."""
        own = self._forward
        return own.weights.merger.adapter if isinstance(own, LlamaForward) else None

    def join(self, rows: Sequence[SequenceState]) -> None:
        """Give each row a slot and read its prompt, or what follows a beginning already read."""
        for prefix, some in self._by_beginning(rows):
            read = len(prefix.tokens) if prefix else 0
            waiting = sorted(some, key=lambda row: len(row.prompt))
            while waiting:
                # Rows of similar length share a forward: its cost is rows x longest prompt.
                group = [waiting.pop()]
                longest = len(group[0].prompt) - read
                while waiting and (len(group) + 1) * longest <= PREFILL_TOKENS:
                    if len(waiting[-1].prompt) - read < 0.6 * longest:
                        break
                    group.append(waiting.pop())
                self._prefill(group, prefix)

    def step(self) -> None:
        """Write one token in every row."""
        for row, token in zip(self.rows, choose_tokens(self.rows, self.next_logits()), strict=True):
            row.add(token)

    def drop_finished(self) -> list[SequenceState]:
        """Free the slots of rows that are over or cancelled; returns them."""
        gone = [row for row in self.rows if row.over]
        for row in gone:
            slot = self.rows.index(row)
            last = self.rows.pop()
            if last is not row:  # the last row moves into the hole: slots stay contiguous
                self.cache.move(len(self.rows), slot, last.length)
                self.rows[slot] = last
        if not self.rows:
            self.cache.clear()
        return gone

    def reset(self) -> None:
        """Forget every row, whatever state a failure left things in."""
        self.rows = []
        self.cache.clear()

    def _by_beginning(
        self, rows: Sequence[SequenceState]
    ) -> Iterable[tuple[CachedPrefix | None, list[SequenceState]]]:
        """The rows, grouped by how their prompts begin. What is shared and new is read first."""
        at_hand = (BASE, *self.adapters.names)
        self.prefixes.forget_others({self.adapters.identity(name) for name in at_hand})
        groups: dict[int, tuple[CachedPrefix | None, list[SequenceState]]] = {}
        for row in rows:
            adapter = self.adapters.identity(row.adapter)
            prefix = self.prefixes.of(adapter, row)
            if prefix is None:
                peers = [other for other in rows if other.adapter == row.adapter]
                shared = self.prefixes.shared(adapter, row, peers)
                prefix = self._read(shared, row.adapter) if shared else None
            self.prefixes.remember(adapter, row)
            groups.setdefault(id(prefix), (prefix, []))[1].append(row)
        return groups.values()

    def _read(self, tokens: Tokens, adapter: str) -> CachedPrefix:
        """Read a beginning in the first free slot and keep it."""
        slot, length = len(self.rows), len(tokens)
        self.cache.aim_at_prompts(slot, 1, 0, length)
        places = torch.arange(length, device=self.loaded.device)[None]
        mask = self._masks.prompts(1, 0, length)
        ids = torch.tensor([tokens], device=self.loaded.device)
        self._forward(ids, places, mask, [adapter])
        prefix = CachedPrefix(tokens, self.cache.copy(slot, length))
        self.prefixes.keep(self.adapters.identity(adapter), prefix)
        return prefix

    def _prefill(self, group: list[SequenceState], prefix: CachedPrefix | None) -> None:
        first, start = len(self.rows), len(prefix.tokens) if prefix else 0
        end = max(len(row.prompt) for row in group) - 1
        self.rows.extend(group)
        if prefix:
            self.cache.lay(first, len(group), prefix.layers)
        if end == start:
            return
        # Shorter prompts are padded on the right. No real token sees the padding, and what it
        # leaves in the cache is overwritten before the row's length reaches it.
        ids = torch.zeros(len(group), end - start, dtype=torch.long)
        for i, row in enumerate(group):
            rest = row.prompt[start:-1]
            ids[i, : len(rest)] = torch.tensor(rest)
        self.cache.aim_at_prompts(first, len(group), start, end)
        positions = torch.arange(start, end, device=self.loaded.device).expand(len(group), -1)
        mask = self._masks.prompts(len(group), start, end)
        self._forward(ids.to(self.loaded.device), positions, mask, [row.adapter for row in group])

    def next_logits(self) -> Tensor:
        """Feed each row's last token; returns scores (rows, vocabulary) of the one after it."""
        places = torch.tensor([row.length - 1 for row in self.rows], device=self.loaded.device)
        width = max(row.length for row in self.rows)
        ids = torch.tensor([[row.last_token] for row in self.rows], device=self.loaded.device)
        self.cache.aim_at_steps(places, width)
        mask = self._masks.steps(places, width)
        return self._forward(ids, places[:, None], mask, [row.adapter for row in self.rows])


class ModelForward:
    """The model's own layers, as transformers computes them."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters, cache: SlotKVCache) -> None:
        self._model, self._adapters = loaded.model, adapters
        accepted = inspect.signature(loaded.model.forward).parameters
        # transformers renames past_key_values to cache in 5.40.
        named = "cache" if "cache" in accepted else "past_key_values"
        self._always: dict[str, Any] = {named: cache, "use_cache": True}
        if "logits_to_keep" in accepted:
            self._always["logits_to_keep"] = 1

    def __call__(self, ids: Tensor, places: Tensor, mask: Any, adapters: list[str]) -> Tensor:
        self._adapters.select(adapters)
        out = self._model(input_ids=ids, position_ids=places, attention_mask=mask, **self._always)
        scores: Tensor = out.logits[:, -1]
        return scores


class Masks:
    """Attention masks (rows, 1, queries, keys) in the form this model's layers expect."""

    def __init__(self, loaded: LoadedModel) -> None:
        config = loaded.model.config.get_text_config()
        self.window = getattr(config, "sliding_window", None)
        self.kinds = set(getattr(config, "layer_types", None) or ())
        # Eager attention adds its mask, sdpa also takes true/false.
        self.additive = config._attn_implementation == "eager"
        self.dtype, self.device = loaded.dtype, loaded.device

    def prompts(self, rows: int, start: int, end: int) -> Any:
        """Tokens start..end: each sees itself and what came before."""
        places = torch.arange(start, end, device=self.device).expand(rows, -1)
        return self._build(places, end)

    def steps(self, places: Tensor, width: int) -> Any:
        """One new token a row at `places` (rows,) sees everything up to itself."""
        return self._build(places[:, None], width)

    def _build(self, queries: Tensor, width: int) -> Any:
        keys = torch.arange(width, device=self.device)[None, None, None, :]
        here = queries[:, None, :, None]
        full = keys <= here
        near = full if self.window is None else full & (keys > here - self.window)
        if self.kinds == {"full_attention"}:
            return self._form(full)
        if len(self.kinds) > 1:  # such models take one mask for each kind of layer
            return {"full_attention": self._form(full), "sliding_attention": self._form(near)}
        return self._form(near)

    def _form(self, seen: Tensor) -> Tensor:
        if not self.additive:
            return seen
        mask = torch.zeros(seen.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(~seen, torch.finfo(self.dtype).min)


def choose_tokens(rows: Sequence[SequenceState], logits: Tensor) -> list[int]:
    """The next token of each row from `logits` (rows, vocabulary)."""
    likeliest: list[int] = logits.argmax(dim=-1).tolist()
    return [
        row.choose(logits[i], likeliest[i]) if row.chooses and not row.over else likeliest[i]
        for i, row in enumerate(rows)
    ]
