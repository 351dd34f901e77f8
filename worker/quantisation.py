"""Base weights in 4-bit for QLoRA (Dettmers et al. 2023, arXiv 2305.14314), by bitsandbytes.

The linear layers are stored as NF4 numbers, in blocks of 64 with a scale each; the scales are
quantised in turn (double quantisation). A layer is turned back into 16-bit numbers whenever it
computes: in training at each step, in the engine and in exports once, when the model is loaded.
Embedding and LM head stay as they are. Works on CUDA and, more slowly, on a CPU.
"""

from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from worker.channel import UserError


def quantised_loading(dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of `from_pretrained` that quantise the linear layers; `dtype` computes.

    Raises UserError when bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "bad_data",
            "4-bit weights (QLoRA) need the package bitsandbytes, which is not installed here. "
            "Ask whoever runs Finetune to install it: .venv/bin/pip install '.[qlora]' in its "
            "folder. Or train with LoRA instead.",
        )
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config}


def keep_trainable(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing the weights anew when the model is evaluated.

    On a processor with AVX512-BF16 its layers do so for inference, for good. Packed weights pass
    no gradient on, and raise no error, so the training would go on with wrong gradients.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  (untyped)
