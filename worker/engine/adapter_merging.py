"""Merges an adapter that is used alone into a copy of the base model's weights.

Unmerged, an adapter costs two more products per projection; merged, none. After enough forward
passes of its own it is merged, one layer per pass. Batches that mix it with the base model or
other adapters are still computed unmerged: same logits up to rounding, same KV cache.

In bf16 a merge rounds: a change of a weight by less than half a unit in the last place is lost.
Where that would lose too much of an adapter's change to a projection, that projection stays
unmerged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.adapters import BASE, Adapters, Lora
from worker.engine.batched_lora import AdapterIdentity, BatchedLora, LoraPlan
from worker.engine.packed_linear import FusedLinear, PackedLinear, fits_second_copy

log = logging.getLogger(__name__)

MERGE_AFTER_FORWARDS = 128  # in a row that only this adapter used
REPLACE_FACTOR = 8  # times as many while another adapter is merged
MAX_BACKOFF_DOUBLINGS = 6  # each interrupted merge doubles the number
PROJECTIONS_PER_FORWARD = 4  # merged in one forward pass: those of a layer
# Share of an adapter's change to a projection, by the Frobenius norm. The tuned starter model
# loses 0.12 to 0.59, most of it where no text goes: of the change to a text's hidden states the
# median loss is 0.15, and rounding the product's own result to bf16 is as much (0.19).
MAX_ROUNDING_LOSS = 0.5
# Largest error of a merged product against fp32, relative to its standard deviation.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.02}

Linear = Callable[[Tensor], Tensor]


class CannotMerge(RuntimeError):
    """This adapter cannot be merged, neither now nor later."""


@dataclass(frozen=True)
class MergedAdapter:
    """A merged adapter, and how each projection is computed with it."""

    identity: AdapterIdentity
    linears: list[Linear]


class AdapterMerger:
    """Which adapter of a model is merged, and which one is about to be.

    layers, linears: the base model's projections. lora: the unmerged adapters.
    """

    def __init__(
        self,
        layers: Sequence[FusedLinear],
        linears: Sequence[PackedLinear],
        lora: BatchedLora,
        adapters: Adapters,
    ) -> None:
        self._layers, self._linears = layers, linears
        self._lora, self._adapters = lora, adapters
        self._merged: MergedAdapter | None = None
        self._sole_adapter: AdapterIdentity | None = None  # the one that used the last forwards
        self._forwards = 0
        self._draft: list[Linear] = []  # projections merged so far
        self._interrupted_merges = 0
        self._cannot_merge: set[AdapterIdentity] = set()

    @property
    def adapter(self) -> str | None:
        """Name of the merged adapter, as `Adapters.load` returned it. Thread-safe."""
        merged = self._merged
        return merged.identity[0] if merged else None

    def next_forward(self, names: Sequence[str]) -> Sequence[Linear] | None:
        """Count a forward pass of sequences with these adapters; merge a layer when it is time.

        Returns the merged projections if all sequences use the merged adapter.
        """
        self._drop_stale_merge()
        distinct = set(names) - {BASE}
        if len(distinct) > 1:
            self._restart_count(None)
        if len(distinct) != 1 or BASE in names:
            return None
        name = names[0]
        identity = self._adapters.identity(name)
        if self._merged and self._merged.identity == identity:
            self._restart_count(None)
            return self._merged.linears
        if self._adapters.may_merge and identity not in self._cannot_merge:
            self._count(name, identity)
        return None

    def _drop_stale_merge(self) -> None:
        """Forget a merge whose adapter was evicted or read again."""
        merged = self._merged
        if merged and self._adapters.identity(merged.identity[0]) != merged.identity:
            self._merged = None

    def _restart_count(self, adapter: AdapterIdentity | None) -> None:
        self._interrupted_merges += bool(self._draft)
        self._sole_adapter, self._forwards, self._draft = adapter, 0, []

    def _count(self, name: str, identity: AdapterIdentity) -> None:
        if identity != self._sole_adapter:
            self._restart_count(identity)
        self._forwards += 1
        doublings = min(self._interrupted_merges, MAX_BACKOFF_DOUBLINGS)
        threshold = MERGE_AFTER_FORWARDS * (REPLACE_FACTOR if self._merged else 1) << doublings
        if not self._draft and self._forwards <= threshold:
            return
        try:
            self._continue_merge(name, identity)
        except CannotMerge as why:
            log.warning("%s stays unmerged: %s", name, why)
            self._cannot_merge.add(identity)
            self._restart_count(None)
        except (
            RuntimeError,
            MemoryError,
        ) as error:  # may work later; no answer fails because of it
            log.warning("%s is not merged now: %s", name, error)
            self._restart_count(None)
            self._interrupted_merges += 1

    def _continue_merge(self, name: str, identity: AdapterIdentity) -> None:
        if not self._draft:
            self._merged = None  # its memory is reused
            if not fits_second_copy([one.weight for one in self._layers]):
                raise MemoryError("too little memory is free")
        plan = self._lora.plan([name])
        assert plan is not None
        for index in range(len(self._draft), len(self._layers))[:PROJECTIONS_PER_FORWARD]:
            self._draft.append(self._merge(index, name, plan))
        if len(self._draft) < len(self._layers):
            return
        if not any(
            isinstance(one, PackedLinear) and one not in self._linears for one in self._draft
        ):
            raise CannotMerge("rounding would lose too much of it everywhere")
        self._merged, self._draft = MergedAdapter(identity, self._draft), []
        self._interrupted_merges = 0
        self._restart_count(None)
        log.info("merged %s", name)

    def _merge(self, index: int, name: str, plan: LoraPlan) -> Linear:
        """Merge one projection in fp32, rounded once. Raises CannotMerge if the result is wrong."""
        layer, base = self._layers[index], self._linears[index]
        pairs = [self._adapters.lora(name, part) for part, _ in layer.parts]
        if not any(pairs):
            return base
        delta = delta_weight(layer, pairs)
        exact = delta + layer.weight
        weight = exact.to(self._adapters.dtype)
        lost = (weight.float() - exact).norm() / delta.norm()
        if not float(lost) <= MAX_ROUNDING_LOSS:
            return lambda x: plan.apply(index, base, x)
        merged = PackedLinear(weight, layer.bias, pack=base.is_packed)
        error = self._relative_error(merged, exact, layer.bias)
        if not error <= TOLERANCE[self._adapters.dtype]:
            raise CannotMerge(f"projection {index} was off by {error:.3g}")
        return merged

    def _relative_error(self, merged: PackedLinear, exact: Tensor, bias: Tensor | None) -> float:
        """Error of a merged projection against fp32, on one random input."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, exact.shape[1], generator=generator)
        x = x.to(exact.device, self._adapters.dtype)
        expected = x.float() @ exact.t() + (0 if bias is None else bias.float())
        return float((merged(x).float() - expected).std() / (expected.std() + 1e-9))


def delta_weight(layer: FusedLinear, pairs: Sequence[Lora | None]) -> Tensor:
    """What an adapter adds to a projection's weight, (out, in) in fp32.

    pairs: the adapter's matrices for each part of the projection.
    """
    weight = layer.weight
    delta = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
    start = 0
    for pair, (_, columns) in zip(pairs, layer.parts, strict=True):
        if pair:
            delta[start : start + columns] = pair.up.float() @ pair.down.float()
        start += columns
    return delta
