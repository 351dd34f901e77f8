"""Checks that a model can be trained, before its weights are downloaded.

No code of the model is run. Its chat template is rendered in transformers' sandbox with a limit
on CPU time, because a template can loop.
"""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_app.basemodels.job_messages import ModelDimensions
from finetune_app.basemodels.shapes import dimensions_of
from finetune_app.core.chat_messages import Message
from worker.channel import UserError

LEAST_CONTEXT = 512  # tokens for a question and its answer
TEMPLATE_SECONDS = 5.0  # CPU time
HEADER_LIMIT = 100_000_000  # bytes, as in the safetensors library
# Name suffixes of text generation models in transformers.
CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")


@dataclass(frozen=True)
class Shape:
    """From the configuration and the tokenizer. `context` is in tokens; 0 where it has none."""

    architecture: str
    context: int
    dimensions: ModelDimensions
    can_think: bool


def check_small_files(folder: Path) -> Shape:
    """Raises UserError if the model cannot be installed."""
    raw = _read(folder / "config.json")
    refuse_code(folder)
    if raw.get("quantization_config"):
        raise UserError(
            "bad_model",
            "This model is stored in a compressed (quantised) form that cannot be trained here. "
            "Take the version without GPTQ, AWQ, FP8 or 4-bit in its name.",
        )
    config = _config(folder)
    architecture = _architecture(raw.get("architectures"), config)
    context = int(getattr(config, "max_position_embeddings", 0) or 0)
    if context and context < LEAST_CONTEXT:
        raise UserError(
            "bad_model",
            f"This model reads only {context} tokens at once; a question with its answer needs "
            f"{LEAST_CONTEXT} or more. Choose a newer model.",
        )
    dimensions = dimensions_of(config.to_dict())
    thinks = _check_tokenizer(folder, vocabulary=dimensions["vocabulary"])
    return Shape(architecture, context, dimensions, thinks)


def refuse_code(folder: Path) -> None:
    """Raises UserError if the model needs code of its own (trust_remote_code)."""
    for path in sorted(folder.glob("*.json")):
        if "config" in path.name and "auto_map" in _read(path):
            raise UserError(
                "bad_model",
                "This model wants to run its own program code, which is not safe to allow. "
                "Choose a model that works without (the most used ones do).",
            )


def check_weights(path: Path) -> int:
    """Number of parameters in a safetensors file. Raises UserError if it is inconsistent."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > HEADER_LIMIT:
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        end = max(int(tensor["data_offsets"][1]) for tensor in tensors)
        if path.stat().st_size != 8 + length + end:
            raise ValueError("wrong length")
        return sum(_size(tensor["shape"]) for tensor in tensors)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(
            "bad_model",
            f"{path.name} is not a complete safetensors file. Get the model again, or choose "
            "another.",
        ) from error


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # any exception of a hostile or newer configuration
        raise UserError(
            "bad_model",
            "This kind of model is not one that Finetune knows. It may be newer than this "
            "version: choose another model, or upgrade Finetune.",
        ) from error


def _architecture(stated: object, config: Any) -> str:
    """Name of the model's class, which has to be a causal language model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    named = stated or ([known] if isinstance(known, str) else [])
    name = str(named[0]) if isinstance(named, list) and named else ""
    if known and name.endswith(CAUSAL_ENDINGS) and not getattr(config, "is_encoder_decoder", False):
        return name
    raise UserError(
        "bad_model",
        "This is not a model that writes text from left to right (a causal decoder, like Llama "
        "or Qwen), so it cannot learn to answer. Choose a text model for chat.",
    )


def _check_tokenizer(folder: Path, vocabulary: int) -> bool:
    """Whether the model can think before it answers. Raises UserError."""
    from transformers import AutoTokenizer

    from worker import template
    from worker.thinking import can_think

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise UserError(
            "bad_model", "The model's tokenizer is missing or cannot be read. Choose another model."
        ) from error
    if not tokenizer.chat_template:
        raise UserError(
            "bad_model",
            "This model was not taught to answer: it has no chat template. Choose its “instruct” "
            "or “chat” version instead.",
        )
    asked, answered = "Hello", "Good day"
    turn: list[Message] = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": answered},
    ]
    try:
        with limited(TEMPLATE_SECONDS):
            ids = template.tokenize_example(tokenizer, turn, LEAST_CONTEXT).input_ids
            text = str(tokenizer.decode(ids))
            thinks = can_think(tokenizer)
        if asked not in text or answered not in text:
            raise ValueError("the template leaves out what was said")
    except (UserError, TimeoutError, ValueError) as error:
        raise UserError(
            "bad_model",
            "The model's chat template does not work with a plain question and answer. Choose "
            "another model.",
        ) from error
    if vocabulary and max(ids) >= vocabulary:
        raise UserError(
            "bad_model",
            "The tokenizer and the model do not belong together: it names words the model does "
            "not have. Get the model again, or choose another.",
        )
    return thinks


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TimeoutError after so much CPU time. Main thread only.

    Uses the virtual timer, since the real one belongs to the lease.
    """

    def over(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError("bad_model", f"{path.name} is missing or damaged.") from error
    if not isinstance(found, dict):
        raise UserError("bad_model", f"{path.name} is not what a model's settings look like.")
    return found


def _size(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= int(side)
    return total
