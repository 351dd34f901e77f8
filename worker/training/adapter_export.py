"""Writes what was learned, with the tokenizer and chat template beside it: the adapter in PEFT's
format, or the whole model in that of transformers where every weight was trained."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save as to_safetensors
from transformers import PreTrainedTokenizerBase

from finetune_app.training.protocol import ADAPTER, MODEL
from worker.training.checkpoints import as_user_error, sync, write
from worker.training.full_model import FullModel
from worker.training.model_loader import AdaptedModel

LICENCE_PATTERNS = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
ONE_FILE = "1TB"  # max_shard_size: its sha256 is that of the model


def adapter_tensors(adapted: AdaptedModel) -> dict[str, torch.Tensor]:
    """The adapter's weights by PEFT's names, or all weights of the model by its own, without those
    that are tied to others; in the number format of the model, on the CPU."""
    if isinstance(adapted.model, FullModel):
        tensors = dict(adapted.model.model.named_parameters())
    else:
        tensors = get_peft_model_state_dict(adapted.model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def export(
    run_folder: Path,
    adapted: AdaptedModel,
    weights: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    metadata: Mapping[str, object],
    base_model: Path,
) -> None:
    """Write the result, tokenizer, chat template and finetune.json (`metadata`) into the folder
    `adapter` or `model` of the run, all or nothing.

    weights: as by `adapter_tensors`; `adapted` gets them. base_model: its folder, whose licence
    and generation_config a whole model takes over.

    Everything has been synced to disk on return. Raises UserError when the disk is full.
    """
    folder = run_folder / (MODEL if isinstance(adapted.model, FullModel) else ADAPTER)
    if isinstance(adapted.model, FullModel):
        model = adapted.model
        with _all_or_nothing(folder, metadata) as unfinished:
            _write_model(unfinished, model, weights, base_model)
            tokenizer.save_pretrained(unfinished)
        return
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
    assert isinstance(adapted.model, PeftModel)
    config = copy(adapted.model.peft_config["default"])
    config.inference_mode = True
    with _all_or_nothing(folder, metadata) as unfinished:
        content = to_safetensors(weights, metadata={"format": "pt"})
        write(unfinished / "adapter_model.safetensors", content)
        config.save_pretrained(str(unfinished))
        if tokenizer is not None:
            tokenizer.save_pretrained(unfinished)


@contextmanager
def _all_or_nothing(folder: Path, metadata: Mapping[str, object]) -> Iterator[Path]:
    """A folder to write into, which then gets its name. Raises UserError when the disk is full."""
    unfinished = folder.with_name(f".unfinished-{folder.name}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
        (unfinished / "finetune.json").write_text(json.dumps(metadata, indent=2, sort_keys=True))
        for path in (*unfinished.iterdir(), unfinished):
            sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        sync(folder.parent)
    except Exception as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise as_user_error(error) from error


def _write_model(
    folder: Path, model: FullModel, weights: dict[str, torch.Tensor], base_model: Path
) -> None:
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            parameter.copy_(weights[name])
    model.model.save_pretrained(folder, max_shard_size=ONE_FILE)
    copy_licences(base_model, folder)
    stated = base_model / "generation_config.json"  # its stop tokens
    if stated.exists():
        shutil.copyfile(stated, folder / stated.name)


def copy_licences(base_model: Path, folder: Path) -> None:
    for pattern in LICENCE_PATTERNS:
        for path in base_model.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
