"""One step of a Llama-like model by OpenVINO: tokens -> logits of the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import openvino as ov
import torch
from torch import Tensor

from worker.engine.adapters import Adapters
from worker.engine.llama_forward import fused_linears
from worker.engine.model_loader import LoadedModel
from worker.engine.openvino.adapters import AdapterInputs
from worker.engine.openvino.graph import build
from worker.engine.openvino.kv_cache import BLOCK_TOKENS, PagedKVCache
from worker.engine.openvino.requests import StepRequests
from worker.engine.step import StepTokens
from worker.engine.threads import most_threads


class OpenvinoForward:
    """The same as `LlamaForward`. See `step.StepForward`."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        self._model = loaded.model  # owns the memory of the graph's weights
        self._dtype_of = torch.empty(0)  # cosines in fp32
        self._requests = StepRequests(build(self._model), self._model, loaded.dtype, most_threads())
        self._adapters = AdapterInputs(adapters, list(fused_linears(self._model)))
        compiled = self._requests.of(self._requests.most).compiled
        shapes = {port.any_name: list(port.partial_shape)[1:] for port in compiled.inputs}
        self.cache = PagedKVCache(
            [
                (_lengths(shapes[f"key_cache.{n}"]), _lengths(shapes[f"value_cache.{n}"]))
                for n in range(len(self._model.model.layers))
            ],
            loaded.dtype,
        )

    @property
    def merged_adapter(self) -> str | None:
        """Adapters are never merged here: one that is used alone costs a sixth."""
        return None

    def __call__(self, step: StepTokens) -> Tensor:
        """Logits (ready, vocabulary); they hold until the next step."""
        position_ids = torch.tensor(step.position_ids)[:, None]
        cos, sin = self._model.model.rotary_emb(self._dtype_of, position_ids)
        adapters = self._adapters.of_step(step.adapters)
        inputs = {
            "token_ids": np.array(step.token_ids, np.int64),
            "cos": cos[:, 0].float().numpy(),
            "sin": sin[:, 0].float().numpy(),
            "rows": np.array(step.rows, np.int64),
            "adapter_ranks": adapters.of_tokens(step.adapters).numpy(),
            **self._paging(step),
        }
        request = self._requests.of(torch.get_num_threads())
        return request.infer(inputs, adapters, self.cache.pools)

    def _paging(self, step: StepTokens) -> dict[str, np.ndarray]:
        """Where the tokens of each sequence begin, how many came before, and their blocks."""
        parts = [(slot, at, at + 1) for slot, at in enumerate(step.position_ids[: step.writing])]
        parts += [(chunk.slot, chunk.start, chunk.end) for chunk in step.chunks]
        blocks = [self.cache.blocks(slot, end) for slot, _start, end in parts]
        begins = accumulate((end - start for _slot, start, end in parts), initial=0)
        lists: dict[str, Sequence[int]] = {
            "past_lens": [start for _slot, start, _end in parts],
            "subsequence_begins": list(begins),
            "block_indices": [block for some in blocks for block in some],
            "block_indices_begins": list(accumulate(map(len, blocks), initial=0)),
        }
        longest = max(end for _slot, _start, end in parts)
        return {name: np.array(one, np.int32) for name, one in lists.items()} | {
            "max_context_len": np.array(longest, np.int32)
        }


def _lengths(shape: Sequence[ov.Dimension]) -> list[int]:
    """Of a block. Raises ValueError where it is not one of (heads, BLOCK_TOKENS, head size)."""
    lengths = [one.get_length() for one in shape]
    if lengths[1] != BLOCK_TOKENS:
        raise ValueError(f"blocks of {lengths[1]} tokens")
    return lengths
