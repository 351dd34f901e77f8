"""The tokens of one step of a `ChunkedDecoder`, and what computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from torch import Tensor

from finetune_app.core.engine_protocol import INT8, NF4
from worker.engine.kv_cache import KVCache

# Largest `relative_error` that rounding explains. (The starter model: fp32 3e-6, bf16 0.04 with
# layers computed in another order; without position_ids 0.5.)
TOLERANCE = {"fp32": 1e-3, "bf16": 0.15, NF4: 0.15, INT8: 0.15}


@dataclass(frozen=True)
class Chunk:
    """Tokens start..end of the sequence in a slot of the cache."""

    slot: int
    start: int
    end: int


@dataclass(frozen=True)
class StepTokens:
    """The tokens of one forward pass, end to end: first one each of the sequences in slots
    0..writing, then the chunks.

    adapters: the adapter's name of each token.
    ready: slots of the sequences whose next token is wanted, once for each token after which it is;
    rows: where those tokens are.
    """

    token_ids: list[int]
    position_ids: list[int]
    adapters: list[str]
    writing: int
    chunks: Sequence[Chunk]
    ready: list[int]
    rows: list[int]

    @property
    def all_chunks(self) -> list[Chunk]:
        """With those of one token, in the order of the tokens."""
        writing = enumerate(self.position_ids[: self.writing])
        return [*(Chunk(slot, at, at + 1) for slot, at in writing), *self.chunks]

    def of_adapter(self, name: str) -> tuple[StepTokens, list[int]]:
        """A step of the tokens with this adapter, all as chunks; and which rows are in it."""
        tokens = [token for token, adapter in enumerate(self.adapters) if adapter == name]
        places = {token: place for place, token in enumerate(tokens)}
        begins = accumulate((one.end - one.start for one in self.all_chunks), initial=0)
        chunks = [one for one, at in zip(self.all_chunks, begins, strict=False) if at in places]
        rows = [number for number, token in enumerate(self.rows) if token in places]
        step = StepTokens(
            [self.token_ids[token] for token in tokens],
            [self.position_ids[token] for token in tokens],
            [name] * len(tokens),
            writing=0,
            chunks=chunks,
            ready=[self.ready[number] for number in rows],
            rows=[places[self.rows[number]] for number in rows],
        )
        return step, rows


class StepForward(Protocol):
    """The layers of a model: our own (llama_forward.py) or OpenVINO's (openvino/forward.py).

    cache: keys and values of all sequences; a step writes them.
    """

    @property
    def cache(self) -> KVCache: ...
    @property
    def merged_adapter(self) -> str | None:
        """The adapter that is merged into a copy of the weights."""

    def __call__(self, step: StepTokens) -> Tensor:
        """Logits (ready, vocabulary), which hold until the next step."""


def relative_error(logits: Tensor, expected: Tensor) -> float:
    """The standard deviation of their differences, relative to that of the logits."""
    return float((logits - expected).std() / (expected.std() + 1e-6))
