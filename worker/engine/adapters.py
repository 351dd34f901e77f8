"""LoRA adapters, several of them in one batch.

The base model is not changed. Each layer that an adapter changes gets a forward hook, which adds
`scale * B(A(x))` for the sequences that use that adapter. Only plain LoRA is supported (that is
what Finetune trains); anything else is rejected by name instead of applied in part.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

BASE = "__base__"  # PEFT's name for "no adapter"
UNSUPPORTED = ("use_dora", "modules_to_save", "lora_bias", "trainable_token_indices", "use_qalora")
KEY = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])\.weight$")


class AdapterConfig(TypedDict, total=False):
    """The fields of PEFT's adapter_config.json that are applied here."""

    lora_alpha: float
    alpha_pattern: dict[str, float]
    use_rslora: bool


class BadAdapter(ValueError):
    """This adapter cannot be used with this base model; the message says why."""


@dataclass(frozen=True)
class Lora:
    """The matrices of one layer: down (rank, in), up (out, rank), with the scale folded into up."""

    down: Tensor
    up: Tensor


def read_adapter(folder: Path, model: nn.Module, dtype: torch.dtype) -> dict[str, Lora]:
    """Read a PEFT LoRA folder for `model`; matrices by layer name. Raises BadAdapter."""
    config, pairs = read_files(folder)
    return {name: _pair(name, pair, config, model, dtype) for name, pair in pairs.items()}


def read_files(folder: Path) -> tuple[AdapterConfig, dict[str, dict[str, Tensor]]]:
    """Its settings, and tensors A and B by layer name.

    Raises BadAdapter for whatever is wrong independently of the base model.
    """
    config = _read_config(folder)
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise BadAdapter(f"The adapter in {folder.name} has no adapter_model.safetensors.")
    try:
        return config, _read_pairs(folder, weights)
    except SafetensorError:
        raise BadAdapter(
            f"The adapter in {folder.name} is damaged: adapter_model.safetensors cannot be read."
        ) from None


def _read_pairs(folder: Path, weights: Path) -> dict[str, dict[str, Tensor]]:
    with safe_open(str(weights), framework="pt") as tensors:
        named = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
    return _pairs(named, folder.name)


def _pairs(tensors: Mapping[str, Tensor], adapter: str) -> dict[str, dict[str, Tensor]]:
    """Tensors A and B by layer name, from PEFT's names. Raises BadAdapter."""
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = KEY.match(key)
        if match is None:
            raise BadAdapter(f"The adapter in {adapter} holds {key}, which is not LoRA.")
        pairs.setdefault(match["module"], {})[match["part"]] = tensor
    return pairs


def _read_config(folder: Path) -> AdapterConfig:
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise BadAdapter(f"There is no adapter in {folder.name}: adapter_config.json is missing.")
    config = json.loads(path.read_text("utf-8"))
    if config.get("peft_type") != "LORA":
        raise BadAdapter(f"Only LoRA adapters can be used; this one is {config.get('peft_type')}.")
    for name in UNSUPPORTED:
        if config.get(name):
            raise BadAdapter(f"This adapter uses {name}, which this engine does not apply.")
    if config.get("bias", "none") != "none":
        raise BadAdapter("This adapter also changes biases, which this engine does not apply.")
    return cast(AdapterConfig, config)


def _pair(
    name: str, pair: dict[str, Tensor], config: AdapterConfig, model: nn.Module, dtype: torch.dtype
) -> Lora:
    try:
        layer = model.get_submodule(name)
    except AttributeError:
        raise BadAdapter(f"This adapter was made for another model: there is no {name}.") from None
    if set(pair) != {"A", "B"}:
        raise BadAdapter(f"This adapter is damaged: half of {name} is missing.")
    down, up = pair["A"], pair["B"]
    weight = getattr(layer, "weight", None)
    if weight is None or sorted(_size(layer)) != sorted((up.shape[0], down.shape[1])):
        raise BadAdapter(f"This adapter was made for another model: {name} has another size.")
    rank = down.shape[0]
    alpha = _by_pattern(config.get("alpha_pattern"), name, config["lora_alpha"])
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    device = weight.device
    # The scale is folded in before rounding to the model's number format.
    return Lora(down.to(device, dtype), (up.float() * scale).to(device, dtype))


def _size(layer: Any) -> tuple[int, ...]:
    """Of the weight's matrix. A weight in 4-bit is packed, so its own shape does not tell."""
    if hasattr(layer, "in_features"):
        return layer.out_features, layer.in_features
    return tuple(layer.weight.shape)


def _by_pattern(patterns: dict[str, float] | None, name: str, default: float) -> float:
    for pattern, value in (patterns or {}).items():
        if re.match(rf".*\.?({pattern})$", name):
            return value
    return default


class Adapters:
    """The adapters of one model: read on first use, the least recently used evicted.

    keep: adapters kept in memory while unused.
    may_merge: one that is used alone may become a part of a copy of the weights.
    """

    def __init__(
        self, model: nn.Module, dtype: torch.dtype, keep: int = 8, may_merge: bool = True
    ) -> None:
        self._model, self.dtype, self._keep = model, dtype, keep
        self.may_merge = may_merge
        self.device = next(model.parameters()).device
        self._loaded: OrderedDict[str, dict[str, Lora]] = OrderedDict()
        self._stamps: dict[str, tuple[int, int]] = {}
        self._hooks: dict[str, RemovableHandle] = {}
        self._plan: list[tuple[str, Tensor | None]] = []

    def load(self, folder: Path | None) -> str:
        """Read an adapter and return its name for `select`; None is the base model.

        A folder whose file has changed since is read again. Raises BadAdapter.
        """
        if folder is None:
            return BASE
        name, stamp = str(folder), stamp_of(folder)
        if self._stamps.get(name) != stamp:
            self._put(name, read_adapter(folder, self._model, self.dtype), stamp)
        self._loaded.move_to_end(name)
        return name

    def put(
        self, name: str, tensors: Mapping[str, Tensor], config: AdapterConfig, revision: int
    ) -> None:
        """Use these tensors, by PEFT's names, as the adapter `name`. They may go on changing:
        another `revision` says that they have. Raises BadAdapter."""
        loras = {
            layer: _pair(layer, pair, config, self._model, self.dtype)
            for layer, pair in _pairs(tensors, name).items()
        }
        self._put(name, loras, (revision, 0))

    def _put(self, name: str, loras: dict[str, Lora], stamp: tuple[int, int]) -> None:
        self._loaded[name] = loras
        self._stamps[name] = stamp
        for layer in loras:
            self._hook(layer)

    def evict_unused(self, in_use: set[str]) -> None:
        """Drop the least recently used adapters above the limit, except those in use."""
        for name in list(self._loaded):
            if len(self._loaded) <= self._keep:
                return
            if name not in in_use:
                del self._loaded[name], self._stamps[name]

    def select(self, names: Sequence[str]) -> None:
        """Set the adapter of each sequence for the next forward pass by transformers."""
        self._plan = []
        for name in dict.fromkeys(names):
            if name == BASE:
                continue
            indices = [i for i, other in enumerate(names) if other == name]
            all_use_it = len(indices) == len(names)
            self._plan.append(
                (name, None if all_use_it else torch.tensor(indices, device=self.device))
            )

    @property
    def names(self) -> list[str]:
        """Folders of the adapters now in memory, least recently used first."""
        return list(self._loaded)

    def lora(self, name: str, layer: str) -> Lora | None:
        """An adapter's matrices for a layer; None if it does not change the layer."""
        return self._loaded[name].get(layer)

    def identity(self, name: str) -> tuple[str, tuple[int, int] | None]:
        """Name and file stamp: changes when the folder's weights are read again."""
        return name, self._stamps.get(name)

    def _hook(self, layer: str) -> None:
        if layer not in self._hooks:

            def add(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
                return self._apply(layer, inputs[0], output)

            self._hooks[layer] = self._model.get_submodule(layer).register_forward_hook(add)

    def _apply(self, layer: str, x: Tensor, output: Tensor) -> Tensor:
        """Add each adapter to its sequences of `output` (batch, sequence, out), in place."""
        for name, indices in self._plan:
            lora = self._loaded[name].get(layer)
            if lora is None:
                continue
            if indices is None:
                low_rank = x.flatten(0, -2) @ lora.down.t()
                output.view(-1, output.shape[-1]).addmm_(low_rank, lora.up.t())
            else:
                output.index_add_(
                    0, indices, x.index_select(0, indices) @ lora.down.t() @ lora.up.t()
                )
        return output


def stamp_of(folder: Path) -> tuple[int, int]:
    """Modification time (ns) and size of an adapter's weights. Raises BadAdapter."""
    try:
        stat = (folder / "adapter_model.safetensors").stat()
    except OSError:
        raise BadAdapter(
            f"The adapter in {folder.name} has no adapter_model.safetensors."
        ) from None
    return stat.st_mtime_ns, stat.st_size
