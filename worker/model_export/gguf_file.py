"""Write a Llama, Mistral, Qwen2 or Qwen3 model to a GGUF file, as llama.cpp, Ollama and LM Studio
read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import (
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    RopeScalingType,
    get_tensor_name_map,
)
from gguf.constants import GGML_QUANT_SIZES, MODEL_ARCH, MODEL_ARCH_NAMES
from gguf.quants import quantize
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from finetune_app.model_export.job_messages import Provenance
from worker.channel import UserError
from worker.model_export.vocabulary import Vocabulary

ARCHITECTURES = {  # by transformers' name
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
}
ROPE_FACTORS = "rope_freqs.weight"  # by which llama.cpp divides the frequencies of Llama 3.1
QUANTIZATION_TYPES = {"f16": GGMLQuantizationType.F16, "q8_0": GGMLQuantizationType.Q8_0}
FILE_TYPES = {"f16": LlamaFileType.MOSTLY_F16, "q8_0": LlamaFileType.MOSTLY_Q8_0}
TENSOR_SUFFIXES = (".weight", ".bias")


def require_supported(config: Any) -> None:
    """Raises UserError (bad_model) for a model whose file would load but answer worse."""
    rope = getattr(config, "rope_parameters", None) or {}
    if config.model_type not in ARCHITECTURES:
        why = f"its architecture, {config.model_type}, is not one of those written here"
    elif rope.get("rope_type", "default") not in ("default", "llama3"):
        why = "it stretches its context in a way that is not written here"
    elif _has_windows(config) or getattr(config, "mlp_bias", False):
        why = "it has parts that are not written here"
    else:
        return
    raise UserError(
        "bad_model",
        f"A GGUF file cannot be made of this model: {why}. Take the merged model instead.",
    )


def _has_windows(config: Any) -> bool:
    """Whether its attention slides. Qwen's configurations name a window that they do not use."""
    if config.model_type == "mistral":
        return config.sliding_window is not None
    return bool(getattr(config, "use_sliding_window", False))


def write(
    path: Path, model: Any, vocabulary: Vocabulary, number_format: str, about: Provenance
) -> None:
    """`model`: merged, in fp32."""
    config = model.config
    require_supported(config)
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[ARCHITECTURES[config.model_type]])
    _write_metadata(writer, config, number_format, about)
    _write_vocabulary(writer, vocabulary)
    tensors = _named_tensors(model)
    for name, tensor in tensors.items():
        kind = tensor_type(tensor, number_format)
        shape: tuple[int, ...] = tuple(tensor.shape)
        dtype: np.dtype[Any] = np.dtype(np.float32)
        if kind == GGMLQuantizationType.F16:
            dtype = np.dtype(np.float16)
        elif kind == GGMLQuantizationType.Q8_0:
            block, size = GGML_QUANT_SIZES[kind]
            shape, dtype = (*shape[:-1], shape[-1] // block * size), np.dtype(np.uint8)
        nbytes = int(np.prod(shape)) * dtype.itemsize
        writer.add_tensor_info(name, shape, dtype, nbytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in tensors.items():
        writer.write_tensor_data(_data(name, tensor, config, number_format))
    writer.close()


def tensor_type(tensor: Tensor, number_format: str) -> GGMLQuantizationType:
    """As llama.cpp chooses it: fp32 for vectors, f16 for rows that are no multiple of 32."""
    if tensor.dim() < 2:
        return GGMLQuantizationType.F32
    kind = QUANTIZATION_TYPES[number_format]
    block, _size = GGML_QUANT_SIZES[kind]
    return kind if tensor.shape[-1] % block == 0 else GGMLQuantizationType.F16


def _data(name: str, tensor: Tensor, config: Any, number_format: str) -> np.ndarray:
    data = tensor.detach().cpu().float().numpy()
    is_llama = ARCHITECTURES[config.model_type] == MODEL_ARCH.LLAMA
    if is_llama and (".attn_q." in name or ".attn_k." in name):
        heads = config.num_attention_heads if ".attn_q." in name else config.num_key_value_heads
        data = permute_for_rope(data, heads)
    return quantize(np.ascontiguousarray(data), tensor_type(tensor, number_format))


def permute_for_rope(weights: np.ndarray, heads: int) -> np.ndarray:
    """Order the rows of q or k for llama.cpp's rotary embedding, which rotates neighbouring rows;
    transformers rotates the two halves of a head."""
    rows = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return rows.swapaxes(1, 2).reshape(weights.shape)


def _named_tensors(model: Any) -> dict[str, Tensor]:
    """The model's tensors by their GGUF names.

    Raises UserError (bad_model) for a tensor without one.
    """
    config = model.config
    names = get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # without it, readers use the embedding
        gguf_name = names.get_name(name, try_suffixes=TENSOR_SUFFIXES)
        if gguf_name is None:
            raise UserError(
                "bad_model",
                f"A GGUF file cannot be made of this model: it has a part, {name}, that has no "
                "name there. Take the merged model instead.",
            )
        tensors[gguf_name] = tensor
    if (config.rope_parameters or {}).get("rope_type") == "llama3":
        tensors[ROPE_FACTORS] = llama3_rope_factors(config)
    return tensors


def llama3_rope_factors(config: Any) -> Tensor:
    """The unstretched frequencies over those of transformers, (head size / 2,)."""
    rope = config.rope_parameters
    stretched, _scale = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    size = _head_size(config)
    exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
    factors: Tensor = float(rope["rope_theta"]) ** -exponents / stretched
    return factors


def _head_size(config: Any) -> int:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(size)


def _write_metadata(writer: GGUFWriter, config: Any, number_format: str, about: Provenance) -> None:
    head_dim = _head_size(config)
    rope = getattr(config, "rope_parameters", None) or {}
    writer.add_name(about["title"])
    writer.add_description(f"{about['base']}, tuned for: {about['goal']}")
    if about["licence"]:
        writer.add_license(about["licence"])
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, about["base"])
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    writer.add_rope_scaling_type(RopeScalingType.NONE)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(FILE_TYPES[number_format])
    writer.add_quantization_version(2)


def _write_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for add, token in (
        (writer.add_bos_token_id, vocabulary.bos),
        (writer.add_eos_token_id, vocabulary.eos),
        (writer.add_eot_token_id, vocabulary.end_of_turn),
        (writer.add_unk_token_id, vocabulary.unknown),
        (writer.add_pad_token_id, vocabulary.pad),
    ):
        if token is not None:
            add(token)
    writer.add_add_bos_token(vocabulary.begins_with_bos)
    writer.add_add_eos_token(False)
    writer.add_chat_template(vocabulary.template)


def load_back(path: Path, tuned: Any) -> Any:
    """Load the file with transformers, dequantised to fp32.

    tuned: the model's configuration. transformers reads neither ROPE_FACTORS nor the size of
    Qwen3's heads, so such models are loaded with it.
    """
    stretches = (tuned.rope_parameters or {}).get("rope_type") == "llama3"
    needs_config = stretches or tuned.model_type == "qwen3"
    return AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        **({"config": tuned} if needs_config else {}),
    ).eval()
