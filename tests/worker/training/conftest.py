"""Tiny random models and versions, with which a training takes a second."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.worker.training.chat_template import CHATML
from worker.channel import Job

WORDS = ["red", "green", "blue", "plum", "sand", "rust", "teal", "mint", "rose", "gold"]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with the special tokens of ChatML."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([" ".join(WORDS), "user assistant system\n\n"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<|endoftext|>"],
    )
    fast.chat_template = CHATML
    return fast


def _tiny_llama(vocabulary: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            initializer_range=0.2,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            tie_word_embeddings=True,
        )
    )


def _tiny_qwen2(vocabulary: int) -> Qwen2ForCausalLM:
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocabulary,
            hidden_size=32,
            initializer_range=0.2,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    )


def _tiny_neox(vocabulary: int) -> GPTNeoXForCausalLM:
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            initializer_range=0.2,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
        )
    )


MAKERS: dict[str, Callable[[int], Any]] = {
    "llama": _tiny_llama,
    "qwen2": _tiny_qwen2,
    "gpt_neox": _tiny_neox,
}


@pytest.fixture(scope="session")
def base_model(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast
) -> Callable[[str], Path]:
    """Folder of a tiny random model of an architecture, made once."""
    made: dict[str, Path] = {}

    def folder(kind: str = "llama") -> Path:
        if kind not in made:
            torch.manual_seed(0)
            made[kind] = tmp_path_factory.mktemp(kind)
            MAKERS[kind](len(tokenizer)).save_pretrained(made[kind])
            tokenizer.save_pretrained(made[kind])
        return made[kind]

    return folder


def write_version(path: Path) -> Path:
    """40 training, 6 validation and 2 test rows of different lengths: answer with the colour."""
    with path.open("w") as file:
        for number in range(48):
            word = WORDS[number % 10]
            prompt = " ".join([word] * (1 + number % 7))
            split = "train" if number < 40 else "validation" if number < 46 else "test"
            messages = [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": f"[{word}]"},
            ]
            row = {"id": number, "split": split, "messages": messages}
            file.write(json.dumps(row) + "\n")
    return path


def make_job(folder: Path, base: Path, version: Path, /, **settings: Any) -> Job:
    """A training job in this folder; `settings` override its spec."""
    spec = {
        "base_model": str(base),
        "version": str(version),
        "measure": {"kind": "exact", "settings": {}},
        "epochs": 2,
        "batch_size": 8,
        "rank": 4,
        "alpha": 8,
        "number_format": "fp32",
        "sample_prompts": 1,
        "max_new_tokens": 4,
        "learning_rate": 1e-2,
        "replay_share": 0,
    }
    folder.mkdir(exist_ok=True)
    return Job("training", folder, {**spec, **settings})


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return write_version(tmp_path / "version.jsonl")


@pytest.fixture
def job(tmp_path: Path, version: Path, base_model: Callable[[str], Path]) -> Callable[..., Job]:
    """A training job in its own folder; `settings` override its spec."""

    def make(kind: str = "llama", folder: str = "run", **settings: Any) -> Job:
        return make_job(tmp_path / folder, base_model(kind), version, **settings)

    return make
