"""Continuous batching with chunked prefill, for models whose layers we compute ourselves.

One forward pass a step: the last token of every sequence that is writing, and beside them a part of
the prompts that are still to be read. So the weights are read once for both, nothing is padded, and
a long prompt holds nobody up: it is read in chunks about as long as the others' step takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from worker.engine.adapters import Adapters
from worker.engine.llama_forward import LlamaForward
from worker.engine.model_loader import LoadedModel
from worker.engine.sampling import select_tokens
from worker.engine.sequences import SequenceState
from worker.engine.slot_decoder import SlotDecoder
from worker.engine.step import Chunk, StepForward, StepTokens

# Tokens of prompts read in one step. While nobody writes: enough to use the processor well.
ALONE_TOKENS = 512
# Beside sequences that write: about as many as take as long as their own step (for up to 16 of them
# its time is that of reading the weights). So a long prompt about doubles the time between two
# tokens; when many short ones come at once, each gets a few more, up to where a longer step reads
# none of them sooner.
BESIDE_TOKENS, TOKENS_EACH_WRITING, TOKENS_EACH_WAITING, MOST_BESIDE_TOKENS = 64, 4, 32, 256
# A token takes twice as long with so many before it, since it attends to all of them.
TOKENS_BEFORE = 768
# A step of so many tokens takes as long as one of a single token: that of reading the weights.
FREE_TOKENS = 16
NO_DRAFTS: Mapping[SequenceState, list[int]] = MappingProxyType({})


class ChunkedDecoder(SlotDecoder):
    """Reads prompts in chunks, in the same steps in which others write."""

    joins_at_any_step = True

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self._forward = self.make_forward(loaded, adapters)
        super().__init__(loaded, adapters, self._forward.cache)
        # Sequences that begin as another one does, and let it read so many tokens for both.
        self._following: dict[SequenceState, tuple[SequenceState, int]] = {}

    @staticmethod
    def make_forward(loaded: LoadedModel, adapters: Adapters) -> StepForward:
        """What computes the steps."""
        return LlamaForward(loaded, adapters)

    @property
    def merged_adapter(self) -> str | None:
        """The adapter that is merged into the weights."""
        return self._forward.merged_adapter

    def add(self, sequences: Sequence[SequenceState]) -> None:
        """Give each sequence a slot, and the keys and values of what is cached of its prompt."""
        self._set_scopes(sequences)
        for sequence in sequences:
            self.sequences.append(sequence)
            self._begin(sequence)

    def remove_finished(self) -> list[SequenceState]:
        finished = super().remove_finished()
        for sequence, (source, _length) in list(self._following.items()):
            if sequence in finished:
                del self._following[sequence]
            elif source in finished:
                del self._following[sequence]
                self._begin(sequence)
        return finished

    def reset(self) -> None:
        super().reset()
        self._following.clear()

    def step(self) -> None:
        """Write a token of every sequence whose prompt has been read, and those after it that were
        guessed right."""
        drafts = self._drafts()
        ready, logits = self.next_logits(drafts)
        tokens = iter(select_tokens(ready, logits))
        for sequence in dict.fromkeys(ready):
            draft = drafts.get(sequence, [])
            keep(sequence, draft, [next(tokens) for _ in range(1 + len(draft))])

    def next_logits(
        self, drafts: Mapping[SequenceState, list[int]] = NO_DRAFTS
    ) -> tuple[list[SequenceState], Tensor]:
        """Of those whose prompt has been read; once more after each token of a draft."""
        self._copy_what_others_read()
        writing = 0
        while writing < len(self.sequences) and self.sequences[writing].unread_tokens == 1:
            writing += 1
        reading = [self._chunk(slot, count) for slot, count in self._shares(writing)]
        step = self._tokens(writing, drafts, reading)
        logits = self._forward(step)
        ready = [self.sequences[slot] for slot in step.ready]
        for sequence in self.sequences[:writing]:
            sequence.cached_tokens += 1
        for chunk in reading:
            self.sequences[chunk.slot].cached_tokens = chunk.end
        return ready, logits

    def _begin(self, sequence: SequenceState) -> None:
        """Take what is cached of a prompt; follow whoever reads more of the same just now.

        Nobody follows one that follows: else two could wait for each other.
        """
        self._take_cached_prefix(self.sequences.index(sequence))
        leaders = [one for one in self.sequences if one not in self._following]
        overlap = self._longest_overlap(sequence, leaders)
        if overlap:
            self._following[sequence] = overlap

    def _copy_what_others_read(self) -> None:
        for sequence, (source, length) in list(self._following.items()):
            if source.cached_tokens >= length:
                self._copy_beginning(sequence, source, length)
                del self._following[sequence]

    def _shares(self, writing: int) -> list[tuple[int, int]]:
        """(slot, tokens) of the prompts that are read in this step.

        Whoever has one token left comes along in any case. Of the others the shortest come first,
        so that they need not wait for a long one; but half is for the oldest.
        """
        left = {
            slot: sequence.unread_tokens
            for slot, sequence in enumerate(self.sequences)
            if slot >= writing and sequence not in self._following
        }
        shares = {slot: 1 for slot, count in left.items() if count == 1}
        waiting = sorted((slot for slot in left if slot not in shares), key=left.__getitem__)
        if waiting:
            others = writing + len(shares)
            room = float(tokens_to_read(others, len(waiting)))
            price = {slot: self._price(slot) if others else 1.0 for slot in waiting}
            oldest = min(waiting, key=lambda slot: self.sequences[slot].started_at)
            shares[oldest] = min(left[oldest], max(1, int(room / 2 / price[oldest])))
            room -= shares[oldest] * price[oldest]
            for slot in waiting:
                more = min(left[slot] - shares.get(slot, 0), max(0, int(room / price[slot])))
                shares[slot] = shares.get(slot, 0) + more
                room -= more * price[slot]
        return sorted((slot, count) for slot, count in shares.items() if count)

    def _price(self, slot: int) -> float:
        """Of a prompt's next token, in the time of a first one."""
        return 1 + self.sequences[slot].cached_tokens / TOKENS_BEFORE

    def _chunk(self, slot: int, count: int) -> Chunk:
        start = self.sequences[slot].cached_tokens
        return Chunk(slot, start, start + count)

    def _drafts(self) -> dict[SequenceState, list[int]]:
        """What probably follows; where there is room for it in a step, and nobody reads."""
        guessed = [one for one in self.sequences if one.may_be_guessed]
        room = (FREE_TOKENS - len(self.sequences)) // max(1, len(guessed))
        if room < 1 or any(one.unread_tokens > 1 for one in self.sequences):
            return {}
        drafts = {one: one.drafts.next(one.token_ids, min(room, one.room - 1)) for one in guessed}
        return {sequence: draft for sequence, draft in drafts.items() if draft}

    def _tokens(
        self, writing: int, drafts: Mapping[SequenceState, list[int]], reading: Sequence[Chunk]
    ) -> StepTokens:
        token_ids = [one.last_token for one in self.sequences[:writing]]
        positions = [one.length - 1 for one in self.sequences[:writing]]
        adapters = [one.adapter for one in self.sequences[:writing]]
        rows = {slot: [slot] for slot in range(writing)}
        chunks = []

        def add(chunk: Chunk, tokens: list[int]) -> None:
            chunks.append(chunk)
            positions.extend(range(chunk.start, chunk.end))
            adapters.extend([self.sequences[chunk.slot].adapter] * len(tokens))
            token_ids.extend(tokens)

        for slot, sequence in enumerate(self.sequences[:writing]):
            if draft := drafts.get(sequence):
                rows[slot] += range(len(token_ids), len(token_ids) + len(draft))
                add(Chunk(slot, sequence.length, sequence.length + len(draft)), draft)
        for chunk in reading:
            sequence = self.sequences[chunk.slot]
            add(chunk, sequence.token_ids[chunk.start : chunk.end])
            if chunk.end == sequence.length:
                rows[chunk.slot] = [len(token_ids) - 1]
        ready = [slot for slot, found in rows.items() for _ in found]
        flat = [row for found in rows.values() for row in found]
        return StepTokens(token_ids, positions, adapters, writing, chunks, ready, flat)


def keep(sequence: SequenceState, draft: list[int], tokens: list[int]) -> None:
    """Append the token that the model wrote, and each that it wrote after a right guess."""
    first, *others = tokens
    sequence.append(first)
    right = 0
    for guess, token in zip(draft, others, strict=True):
        if sequence.is_finished or sequence.last_token != guess:
            break
        sequence.cached_tokens += 1  # the guess was read in the same step
        sequence.append(token)
        right += 1
    if draft:
        sequence.drafts.note(right)


def tokens_to_read(writing: int, waiting: int) -> int:
    """How many tokens of prompts are read in one step beside so many sequences that write."""
    if not writing:
        return ALONE_TOKENS
    wanted = max(BESIDE_TOKENS, TOKENS_EACH_WRITING * writing, TOKENS_EACH_WAITING * waiting)
    return min(MOST_BESIDE_TOKENS, wanted)
