"""What the decoders with a key-value cache share: a slot for each sequence, one step for all.

Sequences join, every step writes one token of each, sequences leave. What a prompt has in common
with an earlier one is not read again: with an instruction before every question, or with the turns
of a conversation so far (prefix_cache.py).

Everything here runs in torch.inference_mode, entered once by the engine's thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from torch import Tensor

from worker.engine.adapters import BASE, Adapters
from worker.engine.kv_cache import KVCache
from worker.engine.model_loader import LoadedModel
from worker.engine.prefix_cache import MIN_PREFIX_TOKENS, CachedPrefix, PrefixCache, common_length
from worker.engine.sampling import select_tokens
from worker.engine.sequences import SequenceState
from worker.memory import release_memory


class SlotDecoder(ABC):
    """Decodes any number of sequences at once, each in its own slot of the KV cache.

    joins_at_any_step: whether one that joins alone costs the others little.
    """

    joins_at_any_step = False

    def __init__(self, loaded: LoadedModel, adapters: Adapters, cache: KVCache) -> None:
        self.loaded, self.adapters, self.cache = loaded, adapters, cache
        self.sequences: list[SequenceState] = []  # in the order of their slots
        self.prefixes = PrefixCache()

    @abstractmethod
    def add(self, sequences: Sequence[SequenceState]) -> None:
        """Give each sequence a slot."""

    @abstractmethod
    def next_logits(self) -> tuple[list[SequenceState], Tensor]:
        """One forward pass; the sequences that have come to their next token, and its logits
        (sequences, vocabulary)."""

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
            self._keep(slot)
            last = self.sequences.pop()
            if last is not sequence:  # the last one moves into the gap: slots stay contiguous
                self.sequences[slot] = last
            self.cache.remove(slot, len(self.sequences), last.cached_tokens)
        if not self.sequences:
            self.cache.clear()
        return finished

    def reset(self) -> None:
        """Drop every sequence and what was kept, whatever state a failure left behind."""
        self.sequences = []
        self.prefixes.clear()
        self.cache.clear()

    def release_memory(self) -> None:
        """Give back what only the probe of decoder.py needed."""
        release_memory()

    def _set_scopes(self, sequences: Sequence[SequenceState]) -> None:
        """Sequences share prefixes with those of the same adapter and caller only. Otherwise the
        time to the first token would tell what others ask."""
        for sequence in sequences:
            adapter = self.adapters.identity(sequence.adapter)
            sequence.scope = adapter, sequence.request.caller
        self.prefixes.retain(
            {self.adapters.identity(name) for name in (BASE, *self.adapters.names)}
        )

    def _keep(self, slot: int) -> None:
        """Keep what a sequence leaves in its slot for the next turn of the conversation."""
        sequence = self.sequences[slot]
        length = sequence.cached_tokens
        if length < MIN_PREFIX_TOKENS:
            return
        if length * self.cache.bytes_per_token() > self.prefixes.max_bytes:
            return  # all others would have to go for it
        token_ids = tuple(sequence.token_ids[:length])
        if self.prefixes.lacks(sequence.scope, token_ids):
            kept = self.cache.keep(slot, length)
            self.prefixes.add(sequence.scope, CachedPrefix(token_ids, kept))

    def _take_cached_prefix(self, slot: int) -> None:
        """Begin with what an earlier sequence left of this one's prompt."""
        sequence = self.sequences[slot]
        found = self.prefixes.longest(sequence.scope, sequence.prompt_token_ids[:-1])
        if found is not None:
            prefix, sequence.cached_tokens = found
            self.cache.begin(slot, prefix.kept, sequence.cached_tokens)

    def _copy_beginning(self, sequence: SequenceState, source: SequenceState, length: int) -> None:
        """Begin with the first tokens of another sequence, which are the same."""
        slots = self.sequences.index(source), self.sequences.index(sequence)
        self.cache.copy(*slots, length)
        sequence.cached_tokens = length

    def _longest_overlap(
        self, sequence: SequenceState, others: Iterable[SequenceState]
    ) -> tuple[SequenceState, int] | None:
        """The one of others that shares most of this one's prompt, and how many tokens; None where
        that is not much more than what is cached of it."""
        prompt = sequence.prompt_token_ids[:-1]
        overlaps = (
            (other, common_length(prompt, other.prompt_token_ids))
            for other in others
            if other is not sequence and other.scope == sequence.scope
        )
        best = max(overlaps, key=lambda found: found[1], default=None)
        if best is None or best[1] < sequence.cached_tokens + MIN_PREFIX_TOKENS:
            return None
        return best
