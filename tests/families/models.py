"""Tiny models with random weights that have all the parts of a family, with its real tokenizer."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)

from tests.families.real_tokenizers import FILES, folder_of

# Of 24 positions only: stretched and windowed attention must matter within a test's prompts.
LLAMA_3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,
}


@dataclass(frozen=True)
class Family:
    """config, parts: its configuration. fast: whether our own forward passes compute it.
    marks: whether llama.cpp keeps vowel signs, as of Hindi, with their letters like the family."""

    config: Callable[..., Any]
    parts: dict[str, Any] = field(default_factory=dict)
    fast: bool = False
    marks: bool = True
    end_of_turn: str = ""


FAMILIES = {
    "llama3_1": Family(
        LlamaConfig,
        {"rope_parameters": LLAMA_3_ROPE | {"factor": 8.0}, "tie_word_embeddings": False},
        fast=True,
        end_of_turn="<|eot_id|>",
    ),
    "llama3_2": Family(
        LlamaConfig,
        {"rope_parameters": LLAMA_3_ROPE | {"factor": 32.0}, "tie_word_embeddings": True},
        fast=True,
        end_of_turn="<|eot_id|>",
    ),
    "qwen3": Family(
        Qwen3Config,
        {"head_dim": 32, "tie_word_embeddings": True},  # wider heads than hidden_size / heads
        end_of_turn="<|im_end|>",
    ),
    "gemma3": Family(
        Gemma3TextConfig,
        {  # the sixth layer reads everything
            "head_dim": 32,
            "sliding_window": 8,
            "query_pre_attn_scalar": 32,
            "num_hidden_layers": 7,
        },
        end_of_turn="<end_of_turn>",
    ),
    "mistral_nemo": Family(
        MistralConfig,
        {"head_dim": 32, "sliding_window": None, "tie_word_embeddings": False},
        fast=True,
        marks=False,
        end_of_turn="</s>",
    ),
}


def make_family(name: str, folder: Path) -> Path:
    """Save a random model whose logits vary enough to show mistakes."""
    family = FAMILIES[name]
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copyfile(folder_of(name) / file, folder / file)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(len(name))
    config = family.config(
        **(SIZES | family.parts),
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
