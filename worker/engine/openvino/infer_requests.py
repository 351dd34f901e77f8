"""The graph, compiled for what is to be computed just now.

OpenVINO fixes the number of threads when it compiles. Beside other programs fewer are quicker
(threads.py), so the graph is compiled again for half as many. And once more for steps whose tokens
all use one adapter, or none, and need not be sorted: that is three small operations less for each
product, a tenth of the time of a model as small as the starter. Each has a copy of the weights.
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
from worker.engine.openvino.graph import TYPES, shared_tensor
from worker.engine.packed_linear import fits_second_copy
from worker.engine.threads import most_threads

log = logging.getLogger(__name__)

Pools = list[tuple[Tensor, Tensor]]  # keys and values of each layer
ALIKE_STEPS = 50  # that are not mixed, one after another, before there is a graph for them
SMALL_BYTES = 1 << 30  # of weights; in a larger model products take nearly all of the time


@dataclass(frozen=True)
class Kind:
    """Of a graph. mixed: whether the tokens of a step may use several adapters."""

    threads: int
    mixed: bool = True


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
        if adapters is not self._adapters:
            self._adapters = None
            for index, (down, up) in enumerate(zip(adapters.down, adapters.up, strict=True)):
                self._set(f"down.{index}", down if self.kind.mixed else down[0])
                self._set(f"up.{index}", up if self.kind.mixed else up[0])
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
    """

    def __init__(
        self, make_graph: Callable[..., ov.Model], weights: Sequence[Tensor], dtype: torch.dtype
    ) -> None:
        self._make_graph, self._weights, self._dtype = make_graph, weights, dtype
        most = most_threads()
        self._most, self._fewer = Kind(most), Kind(max(1, most // 2))
        self._alike = Kind(most, mixed=False)
        self._made: dict[Kind, StepRequest] = {}
        self._make(self._most)
        self.first.is_proven = True  # by the probe of decoder.py
        self._making: dict[Kind, threading.Thread] = {}
        self._alike_steps = 0  # one after another, up to now

    @property
    def first(self) -> StepRequest:
        return self._made[self._most]

    def of(self, threads: int, *, mixed: bool) -> StepRequest:
        """The best there is for so many threads, and a step that is mixed or not."""
        self._alike_steps = 0 if mixed else self._alike_steps + 1
        most, fewer = self._most.threads, self._fewer.threads
        if threads < most and 2 * threads <= most + fewer:
            return self._get(self._fewer)
        if not mixed and (self._alike in self._made or self._is_worth_a_graph):
            return self._get(self._alike)
        return self.first

    def give_up(self, request: StepRequest) -> None:
        """It is not used any more, nor made again."""
        log.warning("the graph for %s computes something else and is left", request.kind)
        del self._made[request.kind]

    def _get(self, kind: Kind) -> StepRequest:
        """The first one while there is none of this kind."""
        if kind not in self._made and not any(one.is_alive() for one in self._making.values()):
            self._begin(kind)
        return self._made.get(kind, self.first)

    @property
    def _is_worth_a_graph(self) -> bool:
        weights = sum(weight.nbytes for weight in self._weights)
        return self._alike_steps >= ALIKE_STEPS and weights <= SMALL_BYTES

    def _begin(self, kind: Kind) -> None:
        if kind not in self._making:
            self._making[kind] = threading.Thread(target=self._make_if_it_fits, args=(kind,))
            self._making[kind].start()

    def _make_if_it_fits(self, kind: Kind) -> None:
        try:
            if fits_second_copy(self._weights):
                self._make(kind)
        except Exception:
            log.exception("the graph is not compiled for %s", kind)

    def _make(self, kind: Kind) -> None:
        graph = self._make_graph(mixed=kind.mixed)
        self._made[kind] = StepRequest(graph, self._dtype, kind)
