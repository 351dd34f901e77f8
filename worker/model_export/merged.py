"""Merge an adapter into its base model, and save it in the format of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from worker.channel import UserError
from worker.template import load_tokenizer, stop_token_ids
from worker.training.adapter_export import copy_licences
from worker.training.model_loader import load_base

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_tuned(
    base: Path, adapter: Path | None, *, in_4bit: bool = False
) -> PeftModel | PreTrainedModel:
    """Base model and adapter in fp32 on the CPU, so that merging rounds only once; without an
    adapter, every weight of `base` was trained.

    in_4bit: the linear layers are rounded to NF4 as those that the adapter was learned beside.

    Raises UserError (bad_model) if the adapter does not fit.
    """
    model = load_base(base, "bf16" if in_4bit else "fp32", torch.device("cpu"), in_4bit=in_4bit)
    if in_4bit:
        model = model.dequantize().float()
    if adapter is None:
        model.eval()
        return model
    try:
        tuned = PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            "bad_model",
            "The adapter does not fit its base model, or its file cannot be read. Train again.",
        ) from error
    return tuned.eval()


def tokenizer_of(base: Path, adapter: Path | None) -> PreTrainedTokenizerBase:
    """The tokenizer of the training, saved with what it learned."""
    return load_tokenizer(adapter if adapter and (adapter / "tokenizer.json").exists() else base)


def merge(tuned: PeftModel | PreTrainedModel) -> Any:
    """Add the adapter, if there is one, to the weights, in fp32. `tuned` cannot be used
    afterwards."""
    return tuned.merge_and_unload(safe_merge=True) if isinstance(tuned, PeftModel) else tuned


def write(
    model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, number_format: str, base: Path
) -> None:
    """Save weights in `number_format`, tokenizer, chat template, generation_config and the licence
    files of the base model."""
    model.generation_config = _tested_generation_config(tokenizer)
    model.to(DTYPES[number_format])
    model.save_pretrained(folder, max_shard_size="4GB")
    tokenizer.save_pretrained(folder)
    copy_licences(base, folder)


def _tested_generation_config(tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Greedy decoding and the stop tokens of the evaluation."""
    stops = sorted(stop_token_ids(tokenizer))
    return GenerationConfig(
        do_sample=False,
        eos_token_id=stops,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else stops[0],
    )


def load_back(folder: Path) -> Any:
    """Load the folder with transformers, in the format it was saved in."""
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="auto",
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
    ).eval()
