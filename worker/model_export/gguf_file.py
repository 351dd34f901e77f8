"""Write a model to a GGUF file, as llama.cpp, Ollama and LM Studio read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import (
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    get_tensor_name_map,
)
from gguf.constants import GGML_QUANT_SIZES, MODEL_ARCH, MODEL_ARCH_NAMES
from gguf.quants import quantize
from torch import Tensor
from transformers import AutoModelForCausalLM

from finetune_app.model_export.job_messages import Provenance
from worker.channel import UserError
from worker.model_export.gguf_architecture import (
    ARCHITECTURES,
    llama3_rope_factors,
    require_supported,
    rope_of,
    write_architecture,
)
from worker.model_export.vocabulary import SENTENCEPIECE, Vocabulary

ROPE_FACTORS = "rope_freqs.weight"  # by which llama.cpp divides the frequencies of Llama 3.1
QUANTIZATION_TYPES = {"f16": GGMLQuantizationType.F16, "q8_0": GGMLQuantizationType.Q8_0}
FILE_TYPES = {"f16": LlamaFileType.MOSTLY_F16, "q8_0": LlamaFileType.MOSTLY_Q8_0}
TENSOR_SUFFIXES = (".weight", ".bias")


def write(
    path: Path, model: Any, vocabulary: Vocabulary, number_format: str, about: Provenance
) -> None:
    """`model`: merged, in fp32."""
    config = model.config
    require_supported(config)
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[ARCHITECTURES[config.model_type]])
    _write_provenance(writer, about)
    write_architecture(writer, config)
    writer.add_file_type(FILE_TYPES[number_format])
    writer.add_quantization_version(2)
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
    architecture = ARCHITECTURES[config.model_type]
    if architecture == MODEL_ARCH.GEMMA3 and name.endswith("norm.weight"):
        data = data + 1  # transformers adds it in the model
    if architecture == MODEL_ARCH.LLAMA and (".attn_q." in name or ".attn_k." in name):
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
    if rope_of(config).get("rope_type") == "llama3":
        tensors[ROPE_FACTORS] = llama3_rope_factors(config)
    return tensors


def _write_provenance(writer: GGUFWriter, about: Provenance) -> None:
    writer.add_name(about["title"])
    writer.add_description(f"{about['base']}, tuned for: {about['goal']}")
    if about["licence"]:
        writer.add_license(about["licence"])
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, about["base"])


def _write_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.model == SENTENCEPIECE:
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(False)
    else:
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
    writer.add_chat_template(
        [{"name": name, "template": text} for name, text in vocabulary.templates.items()]
    )


def load_back(path: Path, tuned: Any) -> Any:
    """Load the file with transformers, dequantised to fp32.

    tuned: the model's configuration. transformers reads neither ROPE_FACTORS, nor the size of
    Qwen3's heads, nor Gemma 3's two rotary embeddings, so such models are loaded with it.
    """
    stretches = rope_of(tuned).get("rope_type") == "llama3"
    needs_config = stretches or tuned.model_type in ("qwen3", "gemma3_text")
    return AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        **({"config": tuned} if needs_config else {}),
    ).eval()
