"""A tiny Gemma 3 with random weights and a tokenizer of SentencePiece's kind, as Gemma's is."""

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoModelForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
RUNS = ["▁▁▁", "▁▁"]
MADE = ["▁t", "in", "er", "he", "▁the", "an", "ing", "th", "en", "the", "then"]  # the best first
LETTERS = "▁abcdefghijklmnopqrstuvwxyzEé0123456789:.\n"


def vocabulary_and_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Every pair of tokens that makes another is a merge, token by token."""
    texts = [*SPECIAL, *RUNS, *(f"<0x{byte:02X}>" for byte in range(256)), *MADE, *LETTERS]
    vocabulary = {text: i for i, text in enumerate(texts)}
    merges = [
        (made[:cut], made[cut:])
        for made in RUNS + MADE
        for cut in range(1, len(made))
        if made[:cut] in vocabulary and made[cut:] in vocabulary
    ]
    return vocabulary, merges


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary, merges = vocabulary_and_merges()
    made = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    made.add_special_tokens(SPECIAL)
    made.add_tokens([AddedToken(text, normalized=False) for text in RUNS])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def config(**given) -> Gemma3TextConfig:
    """Seven layers, of which the sixth reads everything; the others a window of eight tokens."""
    sizes = {
        "vocab_size": len(vocabulary_and_merges()[0]),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 7,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 8,
        "max_position_embeddings": 4096,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "initializer_range": 0.2,
    }
    return Gemma3TextConfig(**sizes | given)


def make_gemma(folder: Path) -> Path:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # a norm, which is zero where nothing was learned
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
