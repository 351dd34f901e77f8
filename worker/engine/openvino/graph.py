"""The layers of a Llama-like model as an OpenVINO graph.

The same layers as in llama_forward.py, with weights shared with the torch model, and OpenVINO's
paged attention (the operation that its own GenAI and vLLM's plugin use; it has no public name yet).
The probe of decoder.py compares the logits with transformers whenever a model is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import Node, PartialShape, Type
from openvino import opset13 as ops
from openvino.op import Constant, Parameter, _PagedAttentionExtension
from torch import Tensor

from finetune_app.core.engine_protocol import INT8
from worker.engine.int8_weights import GROUP, fill_group, to_int8
from worker.engine.llama_forward import PROJECTIONS_PER_LAYER
from worker.engine.model_loader import LoadedModel
from worker.engine.openvino.adapters import AdapterStack
from worker.engine.packed_linear import FusedLinear
from worker.llama import head_sizes
from worker.memory import in_file

TYPES = {torch.bfloat16: Type.bf16, torch.float32: Type.f32}
ANY = -1  # a dimension that changes from step to step
LAST = 2**31 - 1  # where a slice ends that goes to the end; OpenVINO looks for it


class AdapterUse(Enum):
    """Which adapters the tokens of a step may use; without any they use the base model."""

    FIXED = 0  # always the same one, or none, which is part of the graph
    ONE = 1
    SEVERAL = 2


@dataclass(frozen=True)
class Graph:
    """weights: that were read for it, some of whose memory it shares: they have to live as long.
    OpenVINO reads them when it packs them into a layout of its own, and hardly again."""

    model: ov.Model
    weights: list[Tensor]


def build(
    loaded: LoadedModel,
    linears: Sequence[FusedLinear],
    use: AdapterUse = AdapterUse.SEVERAL,
    fixed: AdapterStack | None = None,
) -> Graph:
    """A model of `llama_forward.is_supported` as a graph.

    linears: its `fused_linears`. fixed: of one adapter, or none, where that is the use.

    Inputs, for a step of `tokens`, in fp32 unless said otherwise: token_ids (tokens,) in int64;
    cos and sin (tokens, head size); past_lens, subsequence_begins, block_indices,
    block_indices_begins, max_context_len (int32) as paged attention wants them; rows (int64), the
    tokens whose logits are wanted; key_cache.N and value_cache.N of each layer; for adapters, as in
    adapters.py, down.N and up.N of each projection, of one adapter only or of several, unless it is
    fixed; for several which token is in which place (int32), of all tokens and of those in rows.

    Output: logits (rows, vocabulary) in fp32.
    """
    return _Builder(loaded, linears, use, fixed).build()


@dataclass
class _Builder:
    loaded: LoadedModel
    linears: Sequence[FusedLinear]
    use: AdapterUse
    fixed: AdapterStack | None = None
    inputs: list[Parameter] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)

    def build(self) -> Graph:
        config, body = self.loaded.model.config, self.loaded.model.model
        self._epsilon = config.rms_norm_eps
        self._in_8_bits = self.loaded.number_format == INT8
        self.weights += [linear.weight for linear in self.linears]
        self._heads = head_sizes(config)
        head_size = self._heads[2]
        token_ids = self._input("token_ids", [ANY], Type.i64)
        x = _as(ops.gather(self._matrix(body.embed_tokens.weight), token_ids, _int(0)), Type.f32)
        self._cos = self._rows_of_heads(self._input("cos", [ANY, head_size]))
        self._sin = self._rows_of_heads(self._input("sin", [ANY, head_size]))
        self._paging = [
            self._input(name, shape, Type.i32)
            for name, shape in {
                "past_lens": [ANY],
                "subsequence_begins": [ANY],
                "block_indices": [ANY],
                "block_indices_begins": [ANY],
                "max_context_len": [],
            }.items()
        ]
        self._rows = self._input("rows", [ANY], Type.i64)
        self._sorted = self._sorting("token")
        for number, block in enumerate(body.layers):
            x = self._layer(x, number, block, is_last=number == len(body.layers) - 1)
        x = self._norm(x, body.norm.weight)
        logits = self._project(x, len(self.linears) - 1)
        return Graph(ov.Model([ops.result(logits)], self.inputs, "llama"), self.weights)

    def _layer(self, x: Node, number: int, block: Any, is_last: bool) -> Node:
        qkv, out, gate_up, down = (PROJECTIONS_PER_LAYER * number + n for n in range(4))
        normed = self._norm(x, block.input_layernorm.weight)
        attended = self._attention(self._project(normed, qkv), number)
        if is_last:  # nobody attends to what follows
            x, attended = (ops.gather(one, self._rows, _int(0)) for one in (x, attended))
            self._sorted = self._sorting("row")
        x = ops.add(x, self._project(attended, out))
        normed = self._norm(x, block.post_attention_layernorm.weight)
        halves = ops.split(self._project(normed, gate_up), _int(1), 2)
        gated = ops.multiply(ops.swish(halves.output(0)), halves.output(1))
        return ops.add(x, self._project(gated, down))

    def _attention(self, qkv: Node, number: int) -> Node:
        query_heads, kv_heads, size = self._heads
        widths = [query_heads * size, kv_heads * size, kv_heads * size]
        queries, keys, values = ops.variadic_split(qkv, _int(1), _ints(widths)).outputs()
        caches = [
            self._input(f"{kind}.{number}", [ANY, kv_heads, ANY, ANY], Type.dynamic)
            for kind in ("key_cache", "value_cache")
        ]
        attention = _PagedAttentionExtension(
            [
                self._rotate(queries, query_heads).output(0),
                self._rotate(keys, kv_heads).output(0),
                values,
                *(one.output(0) for one in caches + self._paging[:-1]),
                *(one.output(0) for one in _settings(size, self._paging[-1])),
            ]
        )
        information = attention.get_rt_info()
        for name in ("k", "v"):
            information[f"{name}_head_size"] = size
            information[f"num_{name}_heads"] = kv_heads
        return ops.reshape(attention.output(0), _ints([-1, query_heads * size]), False)

    def _rotate(self, x: Any, heads: int) -> Node:
        """Rotary position embedding of (tokens, heads * head size), as `worker.llama.rotate`."""
        size = self._heads[2]
        x = ops.reshape(x, _ints([-1, heads, 1, size]), False)
        halves = [
            ops.slice(x, _ints([start]), _ints([end]), _ints([1]), _ints([3]))
            for start, end in ((0, size // 2), (size // 2, LAST))
        ]
        half = ops.concat([ops.multiply(halves[1], _float(-1.0)), halves[0]], -1)
        rotated = ops.add(ops.multiply(x, self._cos), ops.multiply(half, self._sin))
        return ops.reshape(rotated, _ints([-1, heads * size]), False)

    def _rows_of_heads(self, x: Node) -> Node:
        """(tokens, head size) -> (tokens, 1, 1, head size)"""
        return ops.unsqueeze(x, _ints([1, 2]))

    def _norm(self, x: Node, weight: Tensor) -> Node:
        mean = ops.reduce_mean(ops.power(x, _float(2.0)), _ints([-1]), True)
        root = ops.sqrt(ops.add(mean, _float(self._epsilon)))
        return ops.multiply(ops.multiply(x, ops.divide(_float(1.0), root)), _vector(weight))

    def _project(self, x: Node, index: int) -> Node:
        """x @ weight.T + bias, and what the adapters add."""
        linear = self.linears[index]
        if self.fixed and self.fixed.down[index].shape[1]:
            return self._widened(x, linear, self.fixed.down[index][0], self.fixed.up[index][0])
        out = self._product(x, linear.weight, linear.bias)
        if self.use is AdapterUse.FIXED:
            return out
        kind, (columns, width) = TYPES[self.loaded.compute_dtype], linear.weight.shape
        stack = [ANY] if self.use is AdapterUse.SEVERAL else []
        down = _as(self._input(f"down.{index}", [*stack, ANY, width], kind), Type.f32)
        up = _as(self._input(f"up.{index}", [*stack, ANY, columns], kind), Type.f32)
        if self._sorted is None:
            return ops.add(out, ops.matmul(ops.matmul(x, down, False, True), up, False, False))
        in_place, places = self._sorted
        by_adapter = ops.gather(x, in_place, _int(0))  # (adapters, places, width)
        low_rank = ops.matmul(by_adapter, down, False, True)
        added = ops.reshape(ops.matmul(low_rank, up, False, False), _ints([-1, columns]), False)
        return ops.add(out, ops.gather(added, places, _int(0)))

    def _widened(self, x: Node, linear: FusedLinear, down: Tensor, up: Tensor) -> Node:
        """[x, x @ down.T] @ [weight, up.T].T: the product itself sums what the adapter adds, and
        nothing is rounded in between. down (ranks, in), up (ranks, out)."""
        x, weight = _as(x, TYPES[self.loaded.compute_dtype]), linear.weight
        if self._in_8_bits:
            down, up = (fill_group(one) for one in (down, up))
        low_rank = ops.matmul(x, self._matrix(down), False, True)
        if self._in_8_bits and weight.shape[1] % GROUP:
            out = self._product(x, weight, linear.bias)  # else both would have one scale
            return ops.add(out, self._product(low_rank, up.t().contiguous(), None))
        wide = torch.cat([weight, up.t()], dim=1)
        wide = wide if self._in_8_bits else in_file(wide)
        return self._product(ops.concat([x, low_rank], -1), wide, linear.bias)

    def _product(self, x: Node, weight: Tensor, bias: Tensor | None) -> Node:
        """x @ weight.T + bias, in fp32"""
        # Both in the weight's format: else OpenVINO keeps a copy of the weights in fp32.
        matrix = (self._int8 if self._in_8_bits else self._matrix)(weight)
        x = _as(x, TYPES[self.loaded.compute_dtype])
        out = _as(ops.matmul(x, matrix, False, True), Type.f32)
        return out if bias is None else ops.add(out, _vector(bias))

    def _matrix(self, weight: Tensor) -> Node:
        if not weight.is_contiguous():
            raise ValueError("a weight is a part of another tensor")
        self.weights.append(weight.detach())
        return Constant(shared_tensor(self.weights[-1]), shared_memory=True)

    def _int8(self, weight: Tensor) -> Node:
        """As OpenVINO knows weights in 8 bits: it multiplies with these numbers, and with those of
        x rounded to 8 bits as well, and keeps no other weights."""
        packed = to_int8(weight)
        numbers = ops.convert(self._matrix(in_file(packed.numbers)), Type.f32)
        grouped = ops.multiply(numbers, ops.constant(packed.scales.numpy()))
        return ops.reshape(grouped, _ints(list(weight.shape)), False)

    def _sorting(self, what: str) -> tuple[Node, Node] | None:
        """Which token (or row) lies in each place of the stack, and the place of each."""
        if self.use is not AdapterUse.SEVERAL:
            return None
        return (
            self._input(f"{what}_in_place", [ANY, ANY], Type.i32),
            self._input(f"{what}_places", [ANY], Type.i32),
        )

    def _input(self, name: str, shape: list[int], kind: Type = Type.f32) -> Parameter:
        made = ops.parameter(PartialShape(shape), kind, name=name)
        made.output(0).set_names({name})
        self.inputs.append(made)
        return made


def _settings(head_size: int, max_context_len: Node) -> list[Node]:
    """The inputs of paged attention after those of the cache; most are for what is not used."""
    return [
        _float(1 / math.sqrt(head_size)),  # scale
        _int(0),  # sliding window
        _none(np.float32),  # alibi slopes
        max_context_len,
        _none(np.int32),  # scores
        _none(np.int32),  # rotation of old keys: blocks,
        _none(np.int32, 2),  # by how much,
        _none(np.float32, 2),  # sines
        _none(np.float32),  # sparse attention: threshold,
        _int(0),  # block size,
        _int(0),  # stride
        _none(np.float32),  # sinks
        _int(0),  # eviction, by the variety of keys: where it begins,
        _none(np.int32),  # which sizes
        _none(np.int32),  # which blocks,
        _none(np.int32),  # and where those of a sequence begin
        _none(np.int32),  # token types
        _none(np.uint8),  # which tokens attend to which, of a tree of drafts,
        _none(np.int32),  # and where those of a sequence begin
    ]


def shared_tensor(tensor: Tensor) -> ov.Tensor:
    """With the memory of a torch tensor, which has to live as long."""
    if tensor.dtype == torch.bfloat16:  # unknown to numpy
        numbers = tensor.view(torch.int16).numpy()
        return ov.Tensor(numbers, ov.Shape(list(tensor.shape)), Type.bf16)
    return ov.Tensor(tensor.numpy(), shared_memory=True)


def _vector(numbers: Tensor) -> Node:
    return ops.constant(numbers.detach().float().numpy())


def _as(node: Node, kind: Type) -> Node:
    return node if node.get_element_type() == kind else ops.convert(node, kind)


def _int(value: int) -> Node:
    return ops.constant(np.array(value, np.int32))


def _ints(values: list[int]) -> Node:
    return ops.constant(np.array(values, np.int32))


def _float(value: float) -> Node:
    return ops.constant(np.array(value, np.float32))


def _none(kind: type, dimensions: int = 1) -> Node:
    return ops.constant(np.empty([0] * dimensions, kind))
