"""Dimensions of a model, read from its config.json."""

from collections.abc import Mapping
from typing import Any

from finetune_app.basemodels.job_messages import ModelDimensions


def dimensions_of(config: Mapping[str, Any]) -> ModelDimensions:
    """0 where the configuration has none; a model of several parts has those of its text part."""
    text = config.get("text_config", config)

    def number(*names: str) -> int:
        return next((int(text[name]) for name in names if text.get(name)), 0)

    hidden = number("hidden_size", "n_embd")
    heads = number("num_attention_heads", "n_head")
    return {
        "layers": number("num_hidden_layers", "n_layer"),
        "hidden": hidden,
        "vocabulary": number("vocab_size"),
        "inner": number("intermediate_size", "n_inner"),
        "heads": heads,
        "kv_heads": number("num_key_value_heads") or heads,
        "head_size": number("head_dim") or (hidden // heads if heads else 0),
        "model_type": str(text.get("model_type", "")),
    }
