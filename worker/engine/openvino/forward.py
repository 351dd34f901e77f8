"""One step of a Llama-like model by OpenVINO: tokens -> logits of the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate

import numpy as np
import openvino as ov
import torch
from torch import Tensor

from worker.engine.adapters import Adapters
from worker.engine.llama_forward import fused_linears
from worker.engine.model_loader import LoadedModel
from worker.engine.openvino.adapters import AdapterInputs
from worker.engine.openvino.graph import AdapterUse, build
from worker.engine.openvino.infer_requests import StepRequest, StepRequests, is_small
from worker.engine.openvino.kv_cache import BLOCK_TOKENS, PagedKVCache
from worker.engine.openvino.weight_files import linears_in_files
from worker.engine.step import TOLERANCE, StepTokens, relative_error

IN_FP32 = torch.empty(0)  # in whose format transformers gives cosines and sines


class OpenvinoForward:
    """The same as `LlamaForward`. See `step.StepForward`."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self._model = loaded.model
        self._tolerance = TOLERANCE[loaded.number_format]
        dtype, weights = loaded.compute_dtype, list(self._model.parameters())
        in_files = is_small(weights)  # else it would take long to write them
        linears = list((linears_in_files if in_files else fused_linears)(self._model))
        self._requests = StepRequests(
            partial(build, loaded, linears), weights, dtype, may_merge=adapters.may_merge
        )
        self._adapters = AdapterInputs(adapters, linears, dtype)
        shapes = _block_shapes(self._requests.first.compiled)
        self.cache = PagedKVCache(shapes, dtype)

    @property
    def merged_adapter(self) -> str | None:
        """See `StepRequests`: nothing of it is rounded away."""
        return self._requests.merged_adapter

    def __call__(self, step: StepTokens) -> Tensor:
        """Logits (ready, vocabulary); they hold until the next step."""
        is_alone = len(set(step.adapters)) == 1
        alone = self._adapters.of_step(step.adapters) if is_alone else None
        request = self._requests.of(torch.get_num_threads(), alone)
        if not step.rows and not request.is_proven:  # there is nothing to compare
            request = self._requests.first
        return self._compute(request, step) if request.is_proven else self._prove(request, step)

    def _prove(self, request: StepRequest, step: StepTokens) -> Tensor:
        """The logits of the first graph, which the probe has compared with transformers'. Another
        one computes further steps only if it can, and its own are the same up to rounding."""
        try:
            logits = self._compute(request, step)
        except Exception as problem:  # OpenVINO packs the weights only now
            self._requests.give_up(request, f"failed: {problem!r}")
            return self._compute(self._requests.first, step)
        expected = self._compute(self._requests.first, step)
        sound = expected.isfinite().all(dim=1)  # those of a damaged adapter prove nothing
        if sound.any():
            error = relative_error(logits[sound], expected[sound])
            request.is_proven = error <= self._tolerance
            if not request.is_proven:
                self._requests.give_up(request, f"is off by {error:.3g}")
        return expected

    def release_weights(self) -> None:
        """Give back the memory of those that transformers' layers have read."""
        self._requests.first.release_weights()

    def _compute(self, request: StepRequest, step: StepTokens) -> Tensor:
        """Logits as `__call__`. A graph that cannot mix adapters computes one after another."""
        names = dict.fromkeys(step.adapters)
        if request.kind.use is AdapterUse.SEVERAL or len(names) == 1:
            return self._infer(request, step)
        parts = [step.of_adapter(name) for name in names]
        logits = torch.cat([self._infer(request, part).clone() for part, _rows in parts])
        order = [row for _part, rows in parts for row in rows]
        return logits[torch.tensor(order, dtype=torch.long).argsort()]

    def _infer(self, request: StepRequest, step: StepTokens) -> Tensor:
        position_ids = torch.tensor(step.position_ids)[:, None]
        cos, sin = self._model.model.rotary_emb(IN_FP32, position_ids)
        adapters = self._adapters.of_step(step.adapters)
        inputs = {
            "token_ids": np.array(step.token_ids, np.int64),
            "cos": cos[:, 0].numpy(),
            "sin": sin[:, 0].numpy(),
            "rows": np.array(step.rows, np.int64),
            **self._paging(step),
        }
        if request.kind.use is AdapterUse.SEVERAL:
            inputs |= adapters.sort("token", step.adapters)
            inputs |= adapters.sort("row", [step.adapters[row] for row in step.rows])
        return request.infer(inputs, adapters, self.cache.pools)

    def _paging(self, step: StepTokens) -> dict[str, np.ndarray]:
        """Where the tokens of each sequence begin, how many came before, and their blocks."""
        chunks = step.all_chunks
        blocks = [self.cache.take_blocks(one.slot, one.end) for one in chunks]
        begins = accumulate((one.end - one.start for one in chunks), initial=0)
        lists: dict[str, Sequence[int]] = {
            "past_lens": [one.start for one in chunks],
            "subsequence_begins": list(begins),
            "block_indices": [block for some in blocks for block in some],
            "block_indices_begins": list(accumulate(map(len, blocks), initial=0)),
        }
        longest = max(one.end for one in chunks)
        return {name: np.array(one, np.int32) for name, one in lists.items()} | {
            "max_context_len": np.array(longest, np.int32)
        }


def _block_shapes(compiled: ov.CompiledModel) -> list[tuple[list[int], list[int]]]:
    """Of the keys and the values of each layer. Raises ValueError where a block is not
    (heads, BLOCK_TOKENS, head size)."""
    ports = {port.any_name: list(port.partial_shape)[1:] for port in compiled.inputs}
    layers = sum(name.startswith("key_cache.") for name in ports)
    shapes = [
        [[size.get_length() for size in ports[f"{kind}.{n}"]] for n in range(layers)]
        for kind in ("key_cache", "value_cache")
    ]
    if any(shape[1] != BLOCK_TOKENS for kind in shapes for shape in kind):
        raise ValueError(f"blocks of another shape: {shapes[0][0]}")
    return list(zip(*shapes, strict=True))
