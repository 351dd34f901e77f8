"""The adapter merged into its base model, saved as plain transformers reads it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase

from worker.channel import UserError
from worker.template import load_tokenizer, stop_token_ids
from worker.training.model_loader import load_base

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")


def load_tuned(base: Path, adapter: Path) -> PeftModel:
    """Base and adapter in fp32 on the processor: what is merged must not be rounded twice."""
    model = load_base(base, "fp32", torch.device("cpu"))
    try:
        tuned = PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            "bad_model",
            "The adapter does not fit its base model, or its file cannot be read. Train again.",
        ) from error
    return tuned.eval()


def tokenizer_of(base: Path, adapter: Path) -> PreTrainedTokenizerBase:
    """The one it was taught with: it lies beside the adapter."""
    return load_tokenizer(adapter if (adapter / "tokenizer.json").exists() else base)


def merge(tuned: PeftModel) -> Any:
    """The adapter added to the weights, in fp32. `tuned` is used up."""
    return tuned.merge_and_unload(safe_merge=True)


def write(
    model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, number_format: str, base: Path
) -> None:
    """Weights in `number_format`, tokenizer, chat template, generation_config and the licence
    files that came with the base model."""
    model.generation_config = as_tested(tokenizer)
    model.to(DTYPES[number_format])
    model.save_pretrained(folder, max_shard_size="4GB")
    tokenizer.save_pretrained(folder)
    copy_licences(base, folder)


def as_tested(tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Greedy, and it ends where it ended in the test."""
    stops = sorted(stop_token_ids(tokenizer))
    return GenerationConfig(
        do_sample=False,
        eos_token_id=stops,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else stops[0],
    )


def copy_licences(base: Path, folder: Path) -> None:
    for pattern in LICENCES:
        for path in base.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


def load_back(folder: Path) -> Any:
    """As somebody else would: plain transformers, in the format it was saved in."""
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="auto",
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
    ).eval()
