"""Copies of adapters with changed weights."""

import shutil

import torch
from safetensors.torch import load_file, save_file


def modified_adapter(adapter, folder, change):
    """A copy with each tensor replaced by `change(name, tensor)`; None removes it."""
    shutil.copytree(adapter, folder)
    weights = folder / "adapter_model.safetensors"
    changed = {name: change(name, tensor) for name, tensor in load_file(weights).items()}
    save_file({name: t.contiguous() for name, t in changed.items() if t is not None}, weights)
    return folder


def zero_lora_b(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor) if "lora_B" in name else tensor
