"""The graph, compiled for as many threads as compute just now.

OpenVINO fixes the number of threads when it compiles. Beside other programs fewer are quicker
(threads.py), so the graph is compiled again for half as many when that is first wanted: in the
background, and where memory allows a second copy of the weights.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
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


@lru_cache
def _core() -> ov.Core:
    return ov.Core()


class StepRequest:
    """Computes steps with a fixed number of threads."""

    def __init__(self, graph: ov.Model, dtype: torch.dtype, threads: int) -> None:
        precision = TYPES[dtype].get_type_name()
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "KV_CACHE_PRECISION": precision,
            "INFERENCE_NUM_THREADS": str(threads),
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
                self._set(f"down.{index}", down)
                self._set(f"up.{index}", up)
            self._adapters = adapters
        if pools is not self._pools:
            self._pools = None
            for number, (keys, values) in enumerate(pools):
                self._set(f"key_cache.{number}", keys)
                self._set(f"value_cache.{number}", values)
            self._pools = pools
        found = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    def forget_pools(self) -> None:
        """Hold no memory of a cache any more."""
        for number, pair in enumerate(self._pools or []):
            for kind, pool in zip(("key_cache", "value_cache"), pair, strict=True):
                self._set(f"{kind}.{number}", pool.new_zeros(1, *pool.shape[1:]))
        self._pools = None

    def _set(self, name: str, tensor: Tensor) -> None:
        self._request.set_tensor(name, shared_tensor(tensor))


class StepRequests:
    """`StepRequest`s of one model for as many threads as there are, and for half as many."""

    def __init__(
        self, make_graph: Callable[[], ov.Model], weights: Sequence[Tensor], dtype: torch.dtype
    ) -> None:
        self._make_graph, self._weights, self._dtype = make_graph, weights, dtype
        self.most = most_threads()
        self.fewer = max(1, self.most // 2)
        self._made = {self.most: StepRequest(make_graph(), dtype, self.most)}
        self._making: threading.Thread | None = None

    def of(self, threads: int) -> StepRequest:
        """The nearer to so many threads. The one for fewer is begun when it is first asked for."""
        wanted = self.most if 2 * threads > self.most + self.fewer else self.fewer
        if wanted not in self._made and self._making is None:
            self._making = threading.Thread(target=self._make_fewer)
            self._making.start()
        return self._made.get(wanted, self._made[self.most])

    def forget_pools(self) -> None:
        for request in list(self._made.values()):
            request.forget_pools()

    def _make_fewer(self) -> None:
        """Once; what fails is not tried again."""
        try:
            if fits_second_copy(self._weights):
                self._made[self.fewer] = StepRequest(self._make_graph(), self._dtype, self.fewer)
        except Exception:
            log.exception("the graph is not compiled for fewer threads")
