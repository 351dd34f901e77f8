"""The base model's own answers to everyday prompts, generated once.

They are stored twice: beside the base models, for every later training in the same number format
(rounding decides near ties, and a training's rows must not depend on who trained before it); and
in the training's own folder, so that it resumes with exactly the examples it began with. Those of
the starter model come with the program (record.py), so that the first training need not generate
them.
"""

import gc
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from finetune_app.basemodels.job_messages import KEPT
from finetune_app.core.chat_messages import Message
from finetune_app.training.protocol import EVERYDAY
from worker.channel import Channel, UserError
from worker.engine.batch_generation import generate_all
from worker.engine.engine import Engine
from worker.engine.model_loader import BadModel
from worker.engine.requests import GenerationRequest
from worker.template import TokenizedExample, prompt_token_ids

PROMPTS = Path(__file__).with_name("prompts.jsonl")
STARTER = Path(__file__).with_name("starter.json")
ANSWER_TOKENS = 20  # enough to show how the base model writes; longer answers are cut


@dataclass(frozen=True)
class ReplayAnswer:
    """Index of a prompt, and the token ids of the base model's answer to it."""

    prompt: int
    tokens: list[int]


@dataclass(frozen=True)
class ReplayExample(TokenizedExample):
    """An everyday prompt and the base model's answer. number: its place among all of a training."""

    number: int = 0


def prompts() -> list[list[Message]]:
    """The everyday conversations; each ends with a message of the user."""
    with PROMPTS.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def replay_examples(
    base_model: Path,
    tokenizer: PreTrainedTokenizerBase,
    number_format: str,
    folder: Path,
    channel: Channel,
) -> list[ReplayExample]:
    """Everyday conversations as tokens; `folder` is the training's own.

    An answer that was cut ends without an end-of-turn token. Empty when Stop is pressed while the
    base model is answering. Raises UserError.
    """
    own = folder / EVERYDAY
    shared = kept_folder(base_model) / f"{cache_key(base_model)}-{number_format}.json"
    answers = _read(own) or _read(shared)
    if not answers:
        answers = recorded_answers(base_model) or _generate(base_model, number_format, channel)
        if not answers:
            return []
        _write(shared, answers)
        _delete_older(shared)
    if not own.exists():
        _write(own, answers)
    conversations = prompts()
    return [
        _example(number, prompt_token_ids(tokenizer, conversations[one.prompt]), one.tokens)
        for number, one in enumerate(answers)
    ]


def kept_folder(base_model: Path) -> Path:
    """What is kept of this base model for later trainings. Names begin with its `cache_key`; the
    folder is deleted with the model."""
    return base_model.parent / KEPT / base_model.name


def cache_key(base_model: Path) -> str:
    """Depends on the base model's files, the prompts, and the length of an answer."""
    digest = prompts_digest()
    for path in sorted(base_model.glob("*")):
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def recorded_answers(base_model: Path) -> list[ReplayAnswer]:
    """The starter model's answers, if this is the starter model and the prompts are the same."""
    recorded = json.loads(STARTER.read_text("utf-8"))
    weights = base_model / "model.safetensors"
    if not weights.exists() or weights.stat().st_size != recorded["bytes"]:
        return []
    if recorded["asked"] != prompts_digest().hexdigest() or recorded["sha256"] != sha256_of(
        weights
    ):
        return []
    return [ReplayAnswer(number, tokens) for number, tokens in enumerate(recorded["answers"])]


def prompts_digest() -> "hashlib._Hash":
    """Hash of the prompts and of the length of an answer."""
    digest = hashlib.sha256(PROMPTS.read_bytes())
    digest.update(str(ANSWER_TOKENS).encode())
    return digest


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _example(number: int, prompt: list[int], answer: list[int]) -> ReplayExample:
    mask = [False] * len(prompt) + [True] * len(answer)
    return ReplayExample(prompt + answer, mask, number=number)


def _generate(base_model: Path, number_format: str, channel: Channel) -> list[ReplayAnswer]:
    """Have the base model answer all prompts in one batch, greedily."""
    channel.emit("phase", phase="everyday", message="Asking the model what it already knows")
    try:
        engine = Engine(base_model, number_format)
    except (BadModel, OSError) as problem:
        raise UserError("bad_model", f"The base model could not be loaded. {problem}") from problem
    with engine:
        answers = _collect(engine, channel)
    del engine
    gc.collect()  # the training loads the model again, with an adapter
    return answers


def _collect(engine: Engine, channel: Channel) -> list[ReplayAnswer]:
    requests = [GenerationRequest(messages, max_new_tokens=ANSWER_TOKENS) for messages in prompts()]
    completions = generate_all(engine, requests, channel) or []
    # With a very short context, the longest prompts have no answer and are skipped.
    return [ReplayAnswer(index, one.token_ids) for index, one in enumerate(completions) if one]


def _read(path: Path) -> list[ReplayAnswer]:
    """Empty when there is no such file, or it cannot be read."""
    try:
        return [ReplayAnswer(**answer) for answer in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _write(path: Path, answers: list[ReplayAnswer]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps([answer.__dict__ for answer in answers]), "utf-8")
    draft.replace(path)


def _delete_older(kept: Path) -> None:
    """Delete what was kept while the base model had other files. An earlier release kept that of
    all base models in one folder."""
    key = kept.name.partition("-")[0]
    for path in [*kept.parent.iterdir(), *kept.parent.parent.iterdir()]:
        if path.is_file() and not path.name.startswith(f"{key}-"):
            path.unlink(missing_ok=True)
