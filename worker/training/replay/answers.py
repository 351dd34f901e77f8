"""What the base model itself answers to everyday prompts, made once and kept.

The answers are kept twice: beside the base models, for every later training, and in the
training's own folder, so that it continues with exactly the rows it began with. Those of the
starter come with the program (record.py), so that nobody's first minute is spent on them.
"""

import gc
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.channel import Channel, UserError
from worker.engine.batch_generation import generate_all
from worker.engine.engine import Engine
from worker.engine.model_loader import BadModel
from worker.engine.requests import GenerationRequest, Message
from worker.template import TokenizedExample, load_tokenizer, prompt_token_ids

PROMPTS = Path(__file__).with_name("prompts.jsonl")
STARTER = Path(__file__).with_name("starter.json")
ANSWER_TOKENS = 48  # enough to show how the base model speaks; longer answers are cut


@dataclass(frozen=True)
class Answer:
    """A prompt's number, and the tokens of the base model's answer to it."""

    prompt: int
    tokens: list[int]


def prompts() -> list[list[Message]]:
    """The everyday conversations, each ending where the assistant should speak."""
    with PROMPTS.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def replay_examples(
    base_model: Path, number_format: str, folder: Path, channel: Channel
) -> list[TokenizedExample]:
    """Everyday rows as tokens; `folder` is the training's own.

    An answer that was cut ends without an end-of-turn token. Empty when the person pressed Stop
    while the base model was still answering.
    """
    own = folder / "everyday.json"
    shared = base_model.parent / ".everyday" / f"{key(base_model)}.json"
    answers = _read(own) or _read(shared) or recorded_answers(base_model)
    if not answers:
        answers = _ask(base_model, number_format, channel)
        if not answers:
            return []
        _write(shared, answers)
    if not own.exists():
        _write(own, answers)
    tokenizer, asked = load_tokenizer(base_model), prompts()
    return [_example(prompt_token_ids(tokenizer, asked[a.prompt]), a.tokens) for a in answers]


def key(base_model: Path) -> str:
    """Changes with the base model's files, the prompts, and the length of an answer."""
    digest = prompts_digest()
    for path in sorted(base_model.glob("*")):
        found = path.stat()
        digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def recorded_answers(base_model: Path) -> list[Answer]:
    """The starter's answers, where this is the starter to the byte and was asked just this."""
    recorded = json.loads(STARTER.read_text("utf-8"))
    weights = base_model / "model.safetensors"
    if not weights.exists() or weights.stat().st_size != recorded["bytes"]:
        return []
    if recorded["asked"] != prompts_digest().hexdigest() or recorded["sha256"] != sha256_of(
        weights
    ):
        return []
    return [Answer(number, tokens) for number, tokens in enumerate(recorded["answers"])]


def prompts_digest() -> "hashlib._Hash":
    """Of the prompts, and how long an answer may be."""
    digest = hashlib.sha256(PROMPTS.read_bytes())
    digest.update(str(ANSWER_TOKENS).encode())
    return digest


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _example(prompt: list[int], answer: list[int]) -> TokenizedExample:
    return TokenizedExample(prompt + answer, [False] * len(prompt) + [True] * len(answer))


def _ask(base_model: Path, number_format: str, channel: Channel) -> list[Answer]:
    """Have the base model answer everything in one batch, the likeliest token every time."""
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


def _collect(engine: Engine, channel: Channel) -> list[Answer]:
    asked = [GenerationRequest(messages, max_new_tokens=ANSWER_TOKENS) for messages in prompts()]
    said = generate_all(engine, asked, channel) or []
    # A model that sees very little does without the longest prompts.
    return [Answer(number, one.token_ids) for number, one in enumerate(said) if one]


def _read(path: Path) -> list[Answer]:
    """Empty when there is none, or when it cannot be read any more."""
    try:
        kept: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
        return [Answer(**answer) for answer in kept]
    except (OSError, ValueError, TypeError):
        return []


def _write(path: Path, answers: list[Answer]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}")
    half.write_text(json.dumps([answer.__dict__ for answer in answers]), "utf-8")
    half.replace(path)
