"""Loads the base model with a new adapter, in the number format that is fastest here."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.import_utils import is_bnb_4bit_available, is_bnb_available
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from finetune_app.core.machine import this_machine
from worker.channel import UserError
from worker.engine.model_loader import ModelConfig, fp32_bytes
from worker.quantisation import keep_trainable, quantised_loading
from worker.quick_import import missing
from worker.training.full_model import FullModel
from worker.training.packing import use_flash_attention
from worker.training.spec import TrainingSpec

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class AdaptedModel:
    """A frozen base model with a trainable adapter, or a model of which every weight is trained;
    on one device."""

    model: PeftModel | FullModel
    device: torch.device
    number_format: str


def load(spec: TrainingSpec, number_format: str) -> AdaptedModel:
    """Base model and, unless all its weights are trained, an adapter, in `number_format`; the
    adapter is initialised from the seed.

    Raises UserError.
    """
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
    base = load_base(spec.base_model, number_format, device, in_4bit=spec.tuning == "qlora")
    if device.type == "cuda" and number_format == "bf16":
        use_flash_attention(base)
    if spec.tuning == "full":
        return AdaptedModel(FullModel(base), device, number_format)
    base.requires_grad_(False)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=spec.targets,
        base_model_name_or_path=str(spec.base_model),
    )
    torch.manual_seed(spec.seed % 2**63)
    try:
        model = add_adapter(base, config)
    except ValueError as error:
        raise UserError(
            "bad_model",
            f"This base model cannot carry an adapter with these settings ({error}). Leave the "
            "layers at “all linear layers”, or choose another base model.",
        ) from error
    for parameter in model.parameters():
        if parameter.requires_grad:  # PEFT makes them fp32 beside weights in 4-bit
            parameter.data = parameter.data.to(DTYPES[number_format])
    if spec.start_adapter:
        continue_adapter(model, spec.start_adapter)
    return AdaptedModel(model, device, number_format)


def add_adapter(base: PreTrainedModel, config: LoraConfig) -> PeftModel:
    """PEFT asks whether a layer is one of bitsandbytes', whose import takes most of a second and
    50 MB. Where weights are in 4-bit it has been imported; else there is no such layer."""
    answers = is_bnb_available, is_bnb_4bit_available
    with missing(["bitsandbytes"]):
        try:
            return get_peft_model(base, config, autocast_adapter_dtype=False)
        finally:
            for kept in answers:
                kept.cache_clear()


def continue_adapter(model: PeftModel, folder: Path) -> None:
    """Begin with the values of an earlier adapter. Raises UserError where it does not fit."""
    try:
        earlier = json.loads((folder / "adapter_config.json").read_text())
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            "bad_data",
            "The training that this one starts from is missing or damaged. Start from another.",
        ) from error
    config: Any = model.peft_config["default"]
    missing = set(get_peft_model_state_dict(model)) != set(weights)
    if missing or (earlier["r"], earlier["lora_alpha"]) != (config.r, config.lora_alpha):
        raise UserError(
            "bad_data",
            "The training that this one starts from has an adapter of another shape. Use its rank, "
            f"alpha and layers: rank {earlier['r']}, alpha {earlier['lora_alpha']}.",
        )
    set_peft_model_state_dict(model, weights)


def load_base(
    folder: Path, number_format: str, device: torch.device, *, in_4bit: bool = False
) -> PreTrainedModel:
    """A local model, from safetensors only, without running its code.

    in_4bit: linear layers but the LM head are quantised as they are read.

    Raises UserError.
    """
    reject_remote_code(folder)
    options: dict[str, Any] = {}
    if in_4bit or device.type != "cpu":
        # Each weight is read straight onto the card, without a copy of the model in main memory.
        options["device_map"] = {"": device}
    if in_4bit:
        options |= quantised_loading(DTYPES[number_format])
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=DTYPES[number_format],
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **options,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(
            "bad_model",
            "The base model could not be read. Its folder may be incomplete or of a kind this "
            "version does not know: install it again, or choose another.",
        ) from error
    # `generate` would apply the model's own defaults, such as a repetition penalty.
    model.generation_config = GenerationConfig()
    if in_4bit:
        keep_trainable(model)
    return model


def reject_remote_code(folder: Path) -> None:
    """Raises UserError for a model that needs to run code of its own."""
    if "auto_map" in read_config(folder):
        raise UserError(
            "bad_model",
            "This model wants to run its own program code, which is not safe to allow. Choose a "
            "model that works without.",
        )


def read_config(folder: Path) -> ModelConfig:
    try:
        config: ModelConfig = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            "bad_model", "The base model's config.json is missing or damaged. Install it again."
        ) from error
    return config


def context_length(folder: Path) -> int | None:
    """Maximum tokens of a sequence; None when the model's config has none."""
    config = read_config(folder)
    text = config.get("text_config", config)
    stated = text.get("max_position_embeddings") or text.get("n_positions")
    return int(stated) if stated else None


def fastest_number_format(folder: Path) -> str:
    """bf16 or fp32: whichever this machine multiplies faster, measured in about 0.1 s.

    The matrix has the model's own width, because the result depends on the size. On a CPU it is
    always bf16 where fp32 weights would take more than half of the free memory.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    config = read_config(folder)
    if fp32_bytes(folder, config) > this_machine().free_bytes / 2:
        return "bf16"
    width = min(int(config.get("hidden_size") or config.get("n_embd") or 512), 2048)
    seconds = {name: _matmul_seconds(width, dtype) for name, dtype in DTYPES.items()}
    return min(seconds, key=lambda name: seconds[name])


def _matmul_seconds(width: int, dtype: torch.dtype) -> float:
    """Fastest of several products (512, width) x (width, 4 * width)."""
    rows, weight = torch.randn(512, width).to(dtype), torch.randn(4 * width, width).to(dtype)
    timings = []
    for _ in range(6):  # the first one includes the setup of kernels
        start = time.perf_counter()
        functional.linear(rows, weight)
        timings.append(time.perf_counter() - start)
    return min(timings[1:])
