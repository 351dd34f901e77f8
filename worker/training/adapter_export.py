"""Writes the adapter in PEFT's format, with the tokenizer and chat template beside it."""

import json
import shutil
from collections.abc import Mapping
from copy import copy
from pathlib import Path

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save as to_safetensors
from transformers import PreTrainedTokenizerBase

from worker.training.checkpoints import as_user_error, sync, write
from worker.training.model_loader import AdaptedModel


def adapter_tensors(adapted: AdaptedModel) -> dict[str, torch.Tensor]:
    """The adapter's weights by PEFT's names, in the number format of the model, on the CPU."""
    tensors = get_peft_model_state_dict(adapted.model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def export(
    folder: Path,
    adapted: AdaptedModel,
    weights: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    metadata: Mapping[str, object],
) -> None:
    """Write adapter, tokenizer, chat template and finetune.json (`metadata`), all or nothing.

    Everything has been synced to disk on return. Raises UserError when the disk is full.
    """
    set_peft_model_state_dict(adapted.model, weights)
    write_adapter(folder, adapted, weights, metadata, tokenizer)


def write_adapter(
    folder: Path,
    adapted: AdaptedModel,
    weights: dict[str, torch.Tensor],
    metadata: Mapping[str, object],
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    """The same without a change of the model, which may go on learning."""
    unfinished = folder.with_name(f".unfinished-{folder.name}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        content = to_safetensors(weights, metadata={"format": "pt"})
        write(unfinished / "adapter_model.safetensors", content)
        config = copy(adapted.model.peft_config["default"])
        config.inference_mode = True
        config.save_pretrained(str(unfinished))
        if tokenizer is not None:
            tokenizer.save_pretrained(unfinished)
        (unfinished / "finetune.json").write_text(json.dumps(metadata, indent=2, sort_keys=True))
        for path in (*unfinished.iterdir(), unfinished):
            sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        sync(folder.parent)
    except Exception as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise as_user_error(error) from error
