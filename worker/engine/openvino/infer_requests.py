"""The graph, compiled for what is to be computed just now.

What adapters add are two small products and a sum for each projection: a sixth to a third of the
time of a model as small as the starter, much of it because OpenVINO works out the shapes of every
operation anew whenever a step has another number of tokens. Where tokens of a step use several
adapters they are sorted besides, which is another tenth. And OpenVINO fixes the number of threads
when it compiles, while beside other programs fewer are quicker (threads.py).

So there are up to four graphs, each with a copy of the weights, and each made when it is wanted.
For all threads: the first, which computes with any one adapter, or none; and a second, for what the
last steps asked for: several adapters, or one and the same (or none), which is then a part of the
graph. For fewer threads: one adapter, and several.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor

from worker.engine.batched_lora import AdapterIdentity
from worker.engine.openvino.adapters import AdapterStack
from worker.engine.openvino.graph import TYPES, AdapterUse, Graph, shared_tensor
from worker.engine.packed_linear import fits_second_copy
from worker.engine.threads import most_threads
from worker.memory import MappedFiles, release_memory, release_pages

log = logging.getLogger(__name__)

Pools = list[tuple[Tensor, Tensor]]  # keys and values of each layer
# Of weights. In a larger model products take nearly all of the time, and a second copy is too much:
# one graph computes all steps, as if they were mixed.
SMALL_BYTES = 1 << 30
# In a row with one and the same adapter, or none, before there is a graph for it: some short
# answers. So many times as many each time one takes the place of another, up to some minutes.
STEPS_ALONE, FACTOR, MOST_FACTORS = 64, 8, 2
SHORT_SECONDS = 60.0  # until a graph for which there was no memory is tried again


@dataclass(frozen=True)
class Kind:
    """Of a graph. fixed: the adapter that is a part of it, if any."""

    threads: int
    use: AdapterUse
    fixed: frozenset[AdapterIdentity] = frozenset()


def is_small(weights: Sequence[Tensor]) -> bool:
    return sum(weight.nbytes for weight in weights) <= SMALL_BYTES


@lru_cache
def _core() -> ov.Core:
    return ov.Core()


class StepRequest:
    """Computes steps by a graph of this kind. is_proven: its logits have been compared."""

    def __init__(self, graph: Graph, dtype: torch.dtype, kind: Kind) -> None:
        self.kind, self.is_proven = kind, False
        precision = TYPES[dtype].get_type_name()
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "KV_CACHE_PRECISION": precision,
            "INFERENCE_NUM_THREADS": str(kind.threads),
            "ENABLE_CPU_PINNING": "NO",  # other programs run on these processors, too
        }
        self._weights, self._pages = graph.weights, MappedFiles().pages_of(graph.weights)
        self.release_weights()
        self.compiled = _core().compile_model(graph.model, "CPU", settings)
        self._request = self.compiled.create_infer_request()
        self._adapters: AdapterStack | None = None
        self._pools: Pools | None = None

    def infer(
        self, inputs: Mapping[str, np.ndarray[Any, Any]], adapters: AdapterStack, pools: Pools
    ) -> Tensor:
        """The graph's output, which holds until the next step. In the first step OpenVINO packs
        the weights, and whoever checks a new adapter reads them: after both their memory is given
        back."""
        is_first, has_read = self._adapters is None, adapters is not self._adapters
        if has_read and self.kind.use is not AdapterUse.FIXED:
            self._adapters = None
            stacked = self.kind.use is AdapterUse.SEVERAL
            for index, (down, up) in enumerate(zip(adapters.down, adapters.up, strict=True)):
                self._set(f"down.{index}", down if stacked else down[0])
                self._set(f"up.{index}", up if stacked else up[0])
        if pools is not self._pools:
            self._pools = None
            for number, (keys, values) in enumerate(pools):
                self._set(f"key_cache.{number}", keys)
                self._set(f"value_cache.{number}", values)
            self._pools = pools
        found = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        if has_read:
            self.release_weights()
        if is_first:
            release_memory()
        self._adapters = adapters
        return torch.from_numpy(found[0])

    def release_weights(self) -> None:
        """Give back the memory of the originals that somebody has read."""
        release_pages(self._pages)

    def _set(self, name: str, tensor: Tensor) -> None:
        self._request.set_tensor(name, shared_tensor(tensor))


class StepRequests:
    """`StepRequest`s of one model. The first is there at once; another is made when it is wanted,
    in the background and where memory allows.

    make_graph: as `graph.build`. weights: of the model.
    may_merge: an adapter may become a part of a graph.
    first: for steps with one adapter, or none; of a large model for all steps.
    """

    def __init__(
        self,
        make_graph: Callable[..., Graph],
        weights: Sequence[Tensor],
        dtype: torch.dtype,
        *,
        may_merge: bool = True,
    ) -> None:
        self._make_graph, self._weights, self._dtype = make_graph, weights, dtype
        self._may_merge = may_merge
        self._most = most_threads()
        self._fewer = max(1, self._most // 2)
        self._is_small = is_small(weights)
        first = AdapterUse.ONE if self._is_small else AdapterUse.SEVERAL
        self.first = self._make(Kind(self._most, first))
        self.first.is_proven = True  # by the probe of decoder.py
        self._made = {self.first.kind: self.first}
        self._given_up: set[Kind] = set()
        self._making: threading.Thread | None = None
        self._last: frozenset[AdapterIdentity] | None = None  # alone in the last step
        self._steps_alone = 0  # in a row
        self._replaced = 0  # times
        self._short_until = 0.0  # memory, by time.monotonic

    def of(self, threads: int, alone: AdapterStack | None) -> StepRequest:
        """The best there is for so many threads, and a step that uses nothing but this adapter, or
        none. alone: None for several; without a graph for them, one for each of them alone."""
        self._count(alone)
        few = threads < self._most and 2 * threads <= self._most + self._fewer
        wanted = self._best(few=few)
        self._begin(wanted, alone)
        for kind in (
            wanted,
            replace(wanted, threads=self._most),
            Kind(wanted.threads, self.first.kind.use),
        ):
            if kind in self._made:
                return self._made[kind]
        return self.first

    def _count(self, alone: AdapterStack | None) -> None:
        identities = alone.identities if alone else None
        self._steps_alone = self._steps_alone + 1 if identities == self._last else 1
        self._last = identities

    def _best(self, *, few: bool) -> Kind:
        """For which a graph is wanted, after the last steps."""
        threads = self._fewer if few else self._most
        if self._last is None or not self._is_small:
            return Kind(threads, AdapterUse.SEVERAL)
        fixed = Kind(threads, AdapterUse.FIXED, self._last)
        enough = STEPS_ALONE * FACTOR ** min(self._replaced, MOST_FACTORS)
        is_worth_it = fixed in self._made or self._steps_alone > enough
        may_be = not few and (self._may_merge or not self._last)
        return fixed if is_worth_it and may_be else Kind(threads, AdapterUse.ONE)

    @property
    def merged_adapter(self) -> str | None:
        """Name of the one that is a part of a graph. Thread-safe."""
        return next((name for kind in list(self._made) for name, _stamp in kind.fixed), None)

    @property
    def _second(self) -> Kind | None:
        """Of the graph for all threads beside the first."""
        kinds = (kind for kind in self._made if kind.threads == self._most)
        return next((kind for kind in kinds if kind != self.first.kind), None)

    def give_up(self, request: StepRequest, why: str) -> None:
        """It is not used any more, nor made again."""
        log.warning("the graph for %s %s and is left", request.kind, why)
        self._given_up.add(request.kind)
        del self._made[request.kind]

    def _begin(self, kind: Kind, alone: AdapterStack | None) -> None:
        """Make one of this kind in the background, in the place of the second one, unless there is
        one, it was given up, another is made, or memory is short."""
        if self._making and self._making.is_alive():
            return
        if kind in self._made or kind in self._given_up or time.monotonic() < self._short_until:
            return
        replaced = self._second if kind.threads == self._most else None
        if not self._fits(kind, replaced):
            self._short_until = time.monotonic() + SHORT_SECONDS
            return
        if replaced:
            del self._made[replaced]
            self._replaced += 1
        fixed = alone if kind.use is AdapterUse.FIXED else None
        self._making = threading.Thread(target=self._make_and_keep, args=(kind, fixed))
        self._making.start()

    def _fits(self, kind: Kind, replaced: Kind | None) -> bool:
        """With an adapter weights are wider, so there are two copies while a graph packs its own.
        The one that it replaces gives up one."""
        copies = (2 if kind.fixed else 1) - bool(replaced)
        return not copies or fits_second_copy([*self._weights] * copies)

    def _make_and_keep(self, kind: Kind, fixed: AdapterStack | None) -> None:
        try:
            self._made[kind] = self._make(kind, fixed)
        except Exception:
            log.exception("the graph is not compiled for %s", kind)
            self._given_up.add(kind)

    def _make(self, kind: Kind, fixed: AdapterStack | None = None) -> StepRequest:
        return StepRequest(self._make_graph(use=kind.use, fixed=fixed), self._dtype, kind)
