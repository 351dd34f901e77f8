"""What a GGUF file says of a model's architecture, and which models it cannot describe."""

from __future__ import annotations

from typing import Any

import torch
from gguf import GGUFWriter, RopeScalingType
from gguf.constants import MODEL_ARCH
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from worker.channel import UserError

ARCHITECTURES = {  # by transformers' name
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "gemma3_text": MODEL_ARCH.GEMMA3,
}
# Readers take these of every Gemma 3; a file cannot say them.
GEMMA_3_FULL_ATTENTION_EVERY = 6  # layers
GEMMA_3_SLIDING_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
GEMMA_3_ACTIVATION = "gelu_pytorch_tanh"


def require_supported(config: Any) -> None:
    """Raises UserError (bad_model) for a model whose file would load but answer worse."""
    if config.model_type not in ARCHITECTURES:
        why = f"its architecture, {config.model_type}, is not one of those written here"
    elif rope_of(config).get("rope_type", "default") not in ("default", "llama3"):
        why = "it stretches its context in a way that is not written here"
    elif _has_unknown_parts(config):
        why = "it has parts that are not written here"
    else:
        return
    raise UserError(
        "bad_model",
        f"A GGUF file cannot be made of this model: {why}. Take the merged model instead.",
    )


def _has_unknown_parts(config: Any) -> bool:
    """Qwen's configurations name a window that they do not use."""
    if config.model_type == "gemma3_text":
        return not _is_usual_gemma_3(config)
    if config.model_type == "mistral" and config.sliding_window is not None:
        return True
    return bool(getattr(config, "use_sliding_window", False) or getattr(config, "mlp_bias", False))


def _is_usual_gemma_3(config: Any) -> bool:
    every = GEMMA_3_FULL_ATTENTION_EVERY
    layer_types = [
        "sliding_attention" if (layer + 1) % every else "full_attention"
        for layer in range(config.num_hidden_layers)
    ]
    return (
        config.layer_types == layer_types
        and config.rope_parameters["sliding_attention"] == GEMMA_3_SLIDING_ROPE
        and config.query_pre_attn_scalar == config.head_dim
        and config.hidden_activation == GEMMA_3_ACTIVATION
        and config.attn_logit_softcapping is None
        and config.final_logit_softcapping is None
        and not config.attention_bias
        and not config.use_bidirectional_attention
    )


def rope_of(config: Any) -> dict[str, Any]:
    """The rotary embedding of the layers that read everything."""
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    full: dict[str, Any] = rope.get("full_attention", rope)
    return full


def llama3_rope_factors(config: Any) -> Tensor:
    """The unstretched frequencies over those of transformers, (head size / 2,)."""
    stretched, _scale = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    size = _head_size(config)
    exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
    factors: Tensor = float(rope_of(config)["rope_theta"]) ** -exponents / stretched
    return factors


def _head_size(config: Any) -> int:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(size)


def write_architecture(writer: GGUFWriter, config: Any) -> None:
    head_size = _head_size(config)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(float(rope_of(config).get("rope_theta", 10_000.0)))
    writer.add_rope_scaling_type(RopeScalingType.NONE)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "gemma3_text":
        writer.add_sliding_window(config.sliding_window)
