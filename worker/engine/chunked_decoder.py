"""Continuous batching with chunked prefill, for models whose layers we compute ourselves.

One forward pass a step: the last token of every sequence that is writing, and beside them a part of
the prompts that are still to be read. So the weights are read once for both, nothing is padded, and
a long prompt holds nobody up: it is read in chunks about as long as the others' step takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worker.engine.adapters import Adapters
from worker.engine.llama_forward import Chunk, LlamaForward, StepTokens
from worker.engine.model_loader import LoadedModel
from worker.engine.prefix_cache import TokenIds
from worker.engine.sequences import SequenceState
from worker.engine.slot_decoder import SlotDecoder

# Tokens of prompts read in one step. While nobody writes: enough to use the processor well.
ALONE_TOKENS = 512
# Beside sequences that write: about as many as take as long as their own step (for up to 16 of them
# its time is that of reading the weights). So a long prompt at most doubles the time between two
# tokens; when many short ones come at once, each gets a few more.
BESIDE_TOKENS, TOKENS_EACH_WRITING, TOKENS_EACH_WAITING = 64, 4, 32


class ChunkedDecoder(SlotDecoder):
    """Decodes any number of sequences at once, each in its own slot of the KV cache."""

    joins_at_any_step = True

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        super().__init__(loaded, adapters)
        self._llama = LlamaForward(loaded, adapters, self.cache)

    @property
    def merged_adapter(self) -> str | None:
        """The adapter that is merged into the weights."""
        return self._llama.projections.merger.adapter

    def add(self, sequences: Sequence[SequenceState]) -> None:
        """Give each sequence a slot, and the keys and values of what is cached of its prompt."""
        for prefix, group in self._by_prefix(sequences):
            for sequence in group:
                if prefix:
                    self.cache.write_prefix(len(self.sequences), 1, prefix.layers)
                    sequence.cached_tokens = len(prefix.token_ids)
                self.sequences.append(sequence)

    def next_logits(self) -> tuple[list[SequenceState], Tensor]:
        """One forward pass; the sequences that have come to their next token, and its logits
        (sequences, vocabulary)."""
        writing = 0
        while writing < len(self.sequences) and unread(self.sequences[writing]) == 1:
            writing += 1
        reading = [self._chunk(slot, count) for slot, count in self._shares(writing)]
        step = self._tokens(writing, reading)
        logits = self._llama(step)
        ready = [self.sequences[slot] for slot in step.ready]
        for sequence in self.sequences[:writing]:
            sequence.cached_tokens += 1
        for chunk in reading:
            self.sequences[chunk.slot].cached_tokens = chunk.end
        return ready, logits

    def _shares(self, writing: int) -> list[tuple[int, int]]:
        """(slot, tokens) of the prompts that are read in this step.

        Whoever has one token left comes along in any case. Of the others the shortest come first,
        so that they need not wait for a long one; but half is for the oldest.
        """
        left = {slot: unread(self.sequences[slot]) for slot in range(writing, len(self.sequences))}
        shares = {slot: 1 for slot, count in left.items() if count == 1}
        waiting = sorted((slot for slot in left if slot not in shares), key=left.__getitem__)
        if waiting:
            room = tokens_to_read(writing + len(shares), len(waiting))
            oldest = min(waiting, key=lambda slot: self.sequences[slot].started_at)
            shares[oldest] = min(left[oldest], room // 2)
            room -= shares[oldest]
            for slot in waiting:
                more = min(left[slot] - shares.get(slot, 0), room)
                shares[slot] = shares.get(slot, 0) + more
                room -= more
        return sorted((slot, count) for slot, count in shares.items() if count)

    def _chunk(self, slot: int, count: int) -> Chunk:
        start = self.sequences[slot].cached_tokens
        return Chunk(slot, start, start + count)

    def _tokens(self, writing: int, reading: Sequence[Chunk]) -> StepTokens:
        token_ids = [one.last_token for one in self.sequences[:writing]]
        positions = [one.length - 1 for one in self.sequences[:writing]]
        adapters = [one.adapter for one in self.sequences[:writing]]
        ready, rows = list(range(writing)), list(range(writing))
        for chunk in reading:
            sequence = self.sequences[chunk.slot]
            token_ids += all_tokens(sequence)[chunk.start : chunk.end]
            positions += range(chunk.start, chunk.end)
            adapters += [sequence.adapter] * (chunk.end - chunk.start)
            if chunk.end == sequence.length:
                ready.append(chunk.slot)
                rows.append(len(token_ids) - 1)
        return StepTokens(token_ids, positions, adapters, writing, reading, ready, rows)

    def _read_prefix(self, slot: int, token_ids: TokenIds, adapter: str) -> None:
        for start in range(0, len(token_ids), ALONE_TOKENS):
            end = min(start + ALONE_TOKENS, len(token_ids))
            tokens, positions = list(token_ids[start:end]), list(range(start, end))
            chunk = Chunk(slot, start, end)
            self._llama(StepTokens(tokens, positions, [adapter] * len(tokens), 0, [chunk], [], []))


def tokens_to_read(writing: int, waiting: int) -> int:
    """How many tokens of prompts are read in one step beside so many sequences that write."""
    if not writing:
        return ALONE_TOKENS
    return max(BESIDE_TOKENS, TOKENS_EACH_WRITING * writing, TOKENS_EACH_WAITING * waiting)


def unread(sequence: SequenceState) -> int:
    """Tokens of a sequence whose keys and values are not in the cache yet."""
    return sequence.length - sequence.cached_tokens


def all_tokens(sequence: SequenceState) -> list[int]:
    return sequence.prompt_token_ids + sequence.output_token_ids
