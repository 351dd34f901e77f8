"""The real shapes of a model, and what it saves for the backward pass, counted without its weights.

    python -m worker.training.memory_plan FOLDER [LAYERS]

The model is built on torch's meta device from its config.json and computes with fake tensors, so a
model of any size takes a second and hardly any memory. The arithmetic that makes a plan of it is
finetune_app/basemodels/memory_plan.py, which the pages share.
"""

import json
import logging
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoConfig, AutoModelForCausalLM

from finetune_app.basemodels.job_messages import ModelDimensions, SavedTensors
from finetune_app.basemodels.memory_plan import (
    LargestBatch,
    MemoryPlan,
    ModelShape,
    TrainingSetup,
    memory_plan,
)
from finetune_app.basemodels.shapes import dimensions_of

log = logging.getLogger(__name__)

RANK = 16
ROWS, SHORT, LONG = 2, 64, 128  # of the batches that are counted
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def plan(folder: Path, setup: TrainingSetup, batch: LargestBatch) -> MemoryPlan:
    """The memory of a training of the model in `folder`."""
    return memory_plan(shape_of_folder(folder), setup, batch)


def shape_of_folder(folder: Path) -> ModelShape:
    config = json.loads((folder / "config.json").read_text())
    counted: ModelDimensions = {**dimensions_of(config), "saved": count_saved_tensors(folder)}
    return ModelShape.known(count_parameters(folder), counted)


def count_parameters(folder: Path) -> int:
    """From the configuration alone; tied weights count once."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(_config(folder))
    return sum(parameter.numel() for parameter in model.parameters())


def count_saved_tensors(folder: Path) -> dict[str, SavedTensors]:
    """By number format, what a decoder layer saves. Empty for a model that cannot be computed
    without its weights; the plan is then an estimate from its widths."""
    try:
        config = _config(folder)
        return {name: _count_layer(config, dtype) for name, dtype in DTYPES.items()}
    except Exception:  # any error of an unknown family's code
        log.exception("what %s saves for the backward pass could not be counted", folder)
        return {}


def _config(folder: Path) -> Any:
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _count_layer(config: Any, dtype: torch.dtype) -> SavedTensors:
    """The difference between two layers and one, at two lengths."""
    one, two = (_small_model(config, layers, dtype) for layers in (1, 2))
    short, long = (
        (_saved_bytes(two, length, dtype) - _saved_bytes(one, length, dtype)) / (ROWS * length)
        for length in (SHORT, LONG)
    )
    pair = max((long - short) / (LONG - SHORT), 0.0)
    return {"token": round(short - pair * SHORT, 2), "pair": round(pair, 4)}


def _saved_bytes(model: Any, length: int, dtype: torch.dtype) -> int:
    """Of a model with few layers, for ROWS rows of `length` tokens; weights do not count."""
    with FakeTensorMode():
        weights = {
            name: torch.empty(
                tensor.shape,
                dtype=dtype if isinstance(tensor, torch.nn.Parameter) else tensor.dtype,
                requires_grad=tensor.requires_grad,
            )
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        }
        counter = _StorageCounter(weights.values())
        inputs = {
            "input_ids": torch.zeros(ROWS, length, dtype=torch.long),
            "use_cache": False,
            "logits_to_keep": 1,
        }
        with saved_tensors_hooks(counter.save, lambda tensor: tensor):
            torch.func.functional_call(model, weights, (), inputs)
    return counter.total


def _small_model(config: Any, layers: int, dtype: torch.dtype) -> Any:
    few = deepcopy(config)
    few.num_hidden_layers = layers
    if getattr(few, "layer_types", None):
        few.layer_types = few.layer_types[-layers:]
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(few, dtype=dtype)
        base.requires_grad_(False)
        lora = LoraConfig(task_type="CAUSAL_LM", r=RANK, target_modules="all-linear")
        model = get_peft_model(base, lora, autocast_adapter_dtype=False)
    return model.train()


class _StorageCounter:
    """Adds up the storages of saved tensors, each once."""

    def __init__(self, weights: Any) -> None:
        self.total = 0
        self._storages = {s._cdata: s for s in (w.untyped_storage() for w in weights)}

    def save(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._storages:
            self._storages[storage._cdata] = storage  # kept, so that its address is not reused
            self.total += storage.nbytes()
        return tensor


if __name__ == "__main__":
    print(json.dumps(count_saved_tensors(Path(sys.argv[1]))))
