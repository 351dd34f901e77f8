"""Loads a base model, in the number format that decodes faster on this machine."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase

from finetune_app.core.engine_protocol import INT8, NF4, ROUNDED
from finetune_app.core.machine import this_machine
from worker.engine.int8_weights import round_weights
from worker.engine.packed_linear import PackedLinear, free_bytes
from worker.llama import MODEL_TYPES
from worker.quantisation import quantised_loading
from worker.template import load_tokenizer, stop_token_ids

log = logging.getLogger(__name__)

# While it reads a model, transformers replaces functions of its own, such as tie_weights, for all
# threads, and puts back what it found. Two at once would leave them replaced for ever.
_one_at_a_time = threading.Lock()
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
# In fp32 an answer is exactly the same whatever shares its batch, in bf16 nearly always; so bf16
# must be this many times faster to be chosen.
MIN_SPEEDUP = 1.15
TIMED_BATCH = 16  # sequences, about what an evaluation decodes at once
MAX_MEMORY_SHARE = 0.6  # of the free memory, for weights in fp32 or a second model


class ModelConfig(TypedDict, total=False):
    """The fields of transformers' config.json that are read here."""

    model_type: str
    text_config: ModelConfig
    hidden_size: int
    n_embd: int
    intermediate_size: int
    n_inner: int
    num_hidden_layers: int
    n_layer: int
    vocab_size: int
    max_position_embeddings: int
    n_positions: int
    eos_token_id: int | list[int] | None
    dtype: str
    torch_dtype: str


class BadModel(ValueError):
    """This folder cannot be used as a base model; the message says why."""


@dataclass
class LoadedModel:
    """A base model in memory.

    number_format: "bf16", "fp32", "nf4" or "int8".
    dtype: of the weights in torch.
    eos_token_ids: tokens that end an answer.
    context_length: most tokens of a prompt and its answer.
    """

    folder: Path
    model: Any
    tokenizer: PreTrainedTokenizerBase
    number_format: str
    dtype: torch.dtype
    device: torch.device
    eos_token_ids: frozenset[int]
    context_length: int

    @property
    def compute_dtype(self) -> torch.dtype:
        """In which OpenVINO computes, all but what it multiplies in 8 bits."""
        return torch.float32 if self.number_format == INT8 else self.dtype

    @property
    def vocabulary_size(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])


def load(folder: Path, number_format: str = "auto") -> LoadedModel:
    """Load a folder of safetensors and its tokenizer. Never runs code from the folder.

    number_format: auto, bf16, fp32, or with linear layers that are rounded: nf4 as for QLoRA, int8
        to 8 bits.

    Raises BadModel, and UserError where nf4 needs a package that is not installed.
    """
    config = read_config(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if number_format not in ("auto", *DTYPES, *ROUNDED):
        known = "auto, bf16, fp32, nf4 or int8"
        raise BadModel(f"Unknown number format {number_format!r}: use {known}.")
    if number_format == "auto":
        number_format = choose_format(folder, config, device)
    # What is rounded to 8 bits is kept in what this machine computes faster without OpenVINO.
    kept = choose_format(folder, config, device) if number_format == INT8 else number_format
    dtype = DTYPES["bf16" if kept == NF4 else kept]
    model = _read_weights(folder, number_format, dtype, device)
    model.to(device).eval().requires_grad_(False)
    tokenizer = load_tokenizer(folder)
    eos_token_ids = _eos_token_ids(model, tokenizer)
    # `generate` would apply the model's own defaults, such as a repetition penalty, to a request.
    model.generation_config = GenerationConfig()
    return LoadedModel(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        number_format=number_format,
        dtype=dtype,
        device=device,
        eos_token_ids=eos_token_ids,
        context_length=_context_length(model, tokenizer),
    )


def _read_weights(
    folder: Path, number_format: str, dtype: torch.dtype, device: torch.device
) -> Any:
    options = {}
    if number_format == NF4:
        options = {"device_map": {"": device}, **quantised_loading(dtype)}
    try:
        with _one_at_a_time:
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                **options,
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BadModel(
            "The base model could not be read. Its folder may be incomplete or of a kind this "
            "version does not know: install it again, or choose another."
        ) from error
    if number_format == INT8:
        round_weights(model)
    return model.dequantize() if number_format == NF4 else model


def fits_beside(model: Any) -> bool:
    """Whether a second model of this size leaves some memory free."""
    needed: int = sum(weight.nbytes for weight in model.parameters())
    return needed <= MAX_MEMORY_SHARE * free_bytes(model.device)


def choose_format(folder: Path, config: ModelConfig, device: torch.device) -> str:
    """The number format in which the matrix products of a decode step are faster.

    Loading a large model twice would take minutes; a layer of the model's own width is timed.
    """
    text = config.get("text_config", config)
    width = int(text.get("hidden_size") or text.get("n_embd") or 1024)
    inner = int(text.get("intermediate_size") or text.get("n_inner") or 4 * width)
    layers = int(text.get("num_hidden_layers") or text.get("n_layer") or 1)
    # Several copies, or small layers would be read from the processor's cache; of a model that is
    # small as a whole, all layers are.
    copies = max(1, min(layers, 64_000_000 // (3 * width * inner)))
    packed = text.get("model_type") in MODEL_TYPES  # computed by llama_forward.py
    milliseconds = {
        name: _time_layer(width, inner, copies, dtype, device, packed)
        for name, dtype in DTYPES.items()
    }
    log.info("milliseconds of a layer in each number format: %s", milliseconds)
    max_bytes = MAX_MEMORY_SHARE * this_machine().free_bytes
    if device.type == "cpu" and fp32_bytes(folder, config) > max_bytes:
        return "bf16"
    return "bf16" if milliseconds["fp32"] > MIN_SPEEDUP * milliseconds["bf16"] else "fp32"


def fp32_bytes(folder: Path, config: ModelConfig) -> int:
    """Memory of a model's weights in fp32, estimated from the size of its files."""
    stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    kind = config.get("dtype") or config.get("torch_dtype")  # the key before transformers 5
    return stored * (1 if kind == "float32" else 2)


def _time_layer(
    width: int, inner: int, copies: int, dtype: torch.dtype, device: torch.device, pack: bool
) -> float:
    """Median milliseconds of one feed-forward layer for TIMED_BATCH tokens, of `copies` layers."""
    layers = [
        [
            PackedLinear(torch.zeros(shape, dtype=dtype, device=device), None, pack=pack)
            for shape in ((inner, width), (width, inner))
        ]
        for _ in range(copies)
    ]
    x = torch.ones(TIMED_BATCH, width, dtype=dtype, device=device)
    times = []
    with torch.inference_mode():
        for _ in range(5):
            started = time.perf_counter()
            for up, down in layers:
                down(up(x))
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
    return round(sorted(times)[2] * 1000 / copies, 4)


def read_config(folder: Path) -> ModelConfig:
    """The model's config.json. Raises BadModel, also for a model that needs code of its own."""
    try:
        config: ModelConfig = json.loads((folder / "config.json").read_text("utf-8"))
    except FileNotFoundError:
        raise BadModel(f"There is no model in {folder.name}: config.json is missing.") from None
    except ValueError:
        raise BadModel(f"The config.json in {folder.name} cannot be read.") from None
    if "auto_map" in config:
        raise BadModel("This model brings its own program code, which Finetune does not run.")
    return config


def _eos_token_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    found = stop_token_ids(tokenizer)
    stated = model.generation_config.eos_token_id
    if stated is not None:
        found |= set(stated) if isinstance(stated, list) else {stated}
    return frozenset(found)


def _context_length(model: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    config = model.config.get_text_config()
    stated = getattr(config, "max_position_embeddings", None)
    return int(stated or min(tokenizer.model_max_length, 8192))
