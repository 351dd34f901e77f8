"""Tiny random models of several architectures, and adapters for them."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SIZES = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 258,
    "max_position_embeddings": 4096,
    "bos_token_id": None,
    "eos_token_id": 257,
    "pad_token_id": 257,
}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES, num_key_value_heads=2),
    "llama 64 wide": lambda: LlamaConfig(**SIZES | {"hidden_size": 64}, num_key_value_heads=2),
    "qwen2": lambda: Qwen2Config(**SIZES, num_key_value_heads=2),
    # Windows shorter than the prompts, so that an engine that ignores them fails.
    "mistral": lambda: MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=8),
    "gemma2": lambda: Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=12, sliding_window=8),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES),
    "mamba": lambda: MambaConfig(
        hidden_size=48, num_hidden_layers=2, vocab_size=258, state_size=4, eos_token_id=257
    ),
}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and the two special tokens of the chat template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_only = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    bytes_only.add_special_tokens(["<|start|>", "<|end|>"])
    made = PreTrainedTokenizerFast(tokenizer_object=bytes_only, eos_token="<|end|>")
    made.chat_template = TEMPLATE
    return made


def make_base(folder: Path, kind: str) -> Path:
    """Save a random model whose logits vary enough to show mistakes."""
    torch.manual_seed(len(kind))
    model = AutoModelForCausalLM.from_config(CONFIGS[kind]())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(4)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, seed: int, **settings) -> Path:
    """Save a random LoRA adapter, strong enough to change every answer."""
    torch.manual_seed(seed)
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 16, "target_modules": "all-linear", **settings},
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    model.save_pretrained(folder)
    return folder
