"""The graph, compiled for what is to be computed just now.

What adapters add are two small products and a sum for each projection: an eighth of the time of a
model as small as the starter, where nobody asks for one. Where tokens of a step use several they
are sorted besides, which is another tenth. And OpenVINO fixes the number of threads when it
compiles, while beside other programs fewer are quicker (threads.py). So there are up to four
graphs, each with a copy of the weights, and each made when it is wanted: most installations need
one, or two.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor

from worker.engine.openvino.adapters import AdapterStack
from worker.engine.openvino.graph import TYPES, AdapterUse, shared_tensor
from worker.engine.packed_linear import fits_second_copy
from worker.engine.threads import most_threads

log = logging.getLogger(__name__)

Pools = list[tuple[Tensor, Tensor]]  # keys and values of each layer
# Of weights. In a larger model products take nearly all of the time, and a second copy is too much:
# one graph computes all steps, as if they were mixed.
SMALL_BYTES = 1 << 30
# Without an adapter, before there is a graph for such steps: some short answers.
STEPS_WITHOUT = 64


@dataclass(frozen=True)
class Kind:
    """Of a graph."""

    threads: int
    use: AdapterUse


@lru_cache
def _core() -> ov.Core:
    return ov.Core()


class StepRequest:
    """Computes steps by a graph of this kind. is_proven: its logits have been compared."""

    def __init__(self, graph: ov.Model, dtype: torch.dtype, kind: Kind) -> None:
        self.kind, self.is_proven = kind, False
        precision = TYPES[dtype].get_type_name()
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "KV_CACHE_PRECISION": precision,
            "INFERENCE_NUM_THREADS": str(kind.threads),
            "ENABLE_CPU_PINNING": "NO",  # other programs run on these processors, too
        }
        self.compiled = _core().compile_model(graph, "CPU", settings)
        self._request = self.compiled.create_infer_request()
        self._adapters: AdapterStack | None = None
        self._pools: Pools | None = None

    def infer(
        self, inputs: Mapping[str, np.ndarray[Any, Any]], adapters: AdapterStack, pools: Pools
    ) -> Tensor:
        """The graph's output, which holds until the next step."""
        if adapters is not self._adapters and self.kind.use is not AdapterUse.NONE:
            self._adapters = None
            stacked = self.kind.use is AdapterUse.SEVERAL
            for index, (down, up) in enumerate(zip(adapters.down, adapters.up, strict=True)):
                self._set(f"down.{index}", down if stacked else down[0])
                self._set(f"up.{index}", up if stacked else up[0])
            self._adapters = adapters
        if pools is not self._pools:
            self._pools = None
            for number, (keys, values) in enumerate(pools):
                self._set(f"key_cache.{number}", keys)
                self._set(f"value_cache.{number}", values)
            self._pools = pools
        found = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    def _set(self, name: str, tensor: Tensor) -> None:
        self._request.set_tensor(name, shared_tensor(tensor))


class StepRequests:
    """`StepRequest`s of one model. The first is there at once; another is made when it is wanted,
    in the background, once and where memory allows.

    make_graph: as `graph.build`. weights: of the model.
    first: for steps with one adapter, or none; of a large model for all steps.
    """

    def __init__(
        self, make_graph: Callable[..., ov.Model], weights: Sequence[Tensor], dtype: torch.dtype
    ) -> None:
        self._make_graph, self._weights, self._dtype = make_graph, weights, dtype
        self._most = most_threads()
        self._fewer = max(1, self._most // 2)
        self._is_small = sum(weight.nbytes for weight in weights) <= SMALL_BYTES
        first = AdapterUse.ONE if self._is_small else AdapterUse.SEVERAL
        self.first = self._make(Kind(self._most, first))
        self.first.is_proven = True  # by the probe of decoder.py
        self._made = {self.first.kind: self.first}
        self._making: dict[Kind, threading.Thread] = {}
        self._without = Kind(self._most, AdapterUse.NONE)
        self._steps_without = 0

    def of(self, threads: int, use: AdapterUse) -> StepRequest:
        """The best there is for so many threads, and a step with this use. While there is none for
        several adapters, one for each of them alone."""
        few = threads < self._most and 2 * threads <= self._most + self._fewer
        wanted = Kind(self._fewer if few else self._most, self._best_use(use, few=few))
        self._begin(wanted)
        for kind in (
            wanted,
            Kind(self._most, wanted.use),
            Kind(wanted.threads, self.first.kind.use),
        ):
            if kind in self._made:
                return self._made[kind]
        return self.first

    def _best_use(self, use: AdapterUse, *, few: bool) -> AdapterUse:
        """For which a graph is wanted. The one without adapters makes room for that of several, and
        there is none for fewer threads: so there are never more than two for a number of them."""
        if not self._is_small:
            return AdapterUse.SEVERAL
        if use is AdapterUse.SEVERAL:
            self._made.pop(self._without, None)
        if use is not AdapterUse.NONE:
            return use
        self._steps_without += 1
        mixes = any(kind.use is AdapterUse.SEVERAL for kind in self._making)
        is_worth_it = self._steps_without > STEPS_WITHOUT and not few and not mixes
        return AdapterUse.NONE if is_worth_it else AdapterUse.ONE

    def give_up(self, request: StepRequest) -> None:
        """It is not used any more, nor made again."""
        log.warning("the graph for %s computes something else and is left", request.kind)
        del self._made[request.kind]

    def _begin(self, kind: Kind) -> None:
        """Make one of this kind in the background, unless that was begun, or another is made."""
        if kind in self._made or kind in self._making:
            return
        if not any(one.is_alive() for one in self._making.values()):
            self._making[kind] = threading.Thread(target=self._make_if_it_fits, args=(kind,))
            self._making[kind].start()

    def _make_if_it_fits(self, kind: Kind) -> None:
        try:
            if fits_second_copy(self._weights):
                self._made[kind] = self._make(kind)
        except Exception:
            log.exception("the graph is not compiled for %s", kind)

    def _make(self, kind: Kind) -> StepRequest:
        return StepRequest(self._make_graph(use=kind.use), self._dtype, kind)
