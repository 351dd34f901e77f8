"""The spec, the parity event and the result of an export job, shared with the worker."""

from typing import TypedDict

from finetune_app.core.chat_messages import Message

BYTES_PER_PARAMETER = {"fp32": 4.0, "bf16": 2.0, "f16": 2.0, "q8_0": 1.07}  # by number format


class Provenance(TypedDict):
    """What the GGUF metadata say of the model."""

    title: str
    goal: str
    base: str  # name of the base model
    licence: str  # of the base model; "" if not known


class CardText(TypedDict):
    """A model card in Markdown, without how to run the model: that stands between the parts."""

    start: str  # front matter, title, intended use
    facts: str  # test, examples, settings, limits, origin


class ExportSpec(TypedDict):
    base_model: str  # folder; of the tuned model itself where every weight was trained
    adapter: str | None  # folder; None there
    in_4bit: bool  # whether the adapter belongs to a base model rounded to NF4
    container: str  # "merged" or "gguf"
    number_format: str  # "fp32", "bf16", "f16" or "q8_0"
    prompts: list[list[Message]]  # conversations that end with a user message
    max_new_tokens: int
    thinking: str  # see core/thinking.py
    name: str  # of files, without a suffix
    about: Provenance
    card: CardText


class ParityResult(TypedDict):
    """Event `parity`: how the export differs from the tested model."""

    prompts: int
    tokens: int  # of the reference's answers
    max_difference: float  # of logits
    mean_difference: float  # of logits
    spread: float  # standard deviation of the reference's logits
    same_tokens: int  # whose argmax is the same
    same_answers: int
    passed: bool


class ExportResult(TypedDict, total=False):
    """Only `stopped` is set if the job was stopped."""

    file: str  # name
    size: int  # bytes
    sha256: str
    parity: ParityResult
    seconds: float
    stopped: bool


class PushSpec(TypedDict):
    """Either `archive`, the zip of an export, or the `files` of an adapter."""

    repository: str  # account/name on the hub
    public: bool
    token: str
    card: str  # README.md
    archive: str  # path
    archive_sha256: str  # as it was when it passed its check
    files: list[tuple[str, str]]  # path here, path there
    earlier: list[str]  # paths there that an earlier push has left
    message: str  # of the commit


class PushResult(TypedDict, total=False):
    """Only `stopped` is set if the job was stopped."""

    commit: str
    files: dict[str, str]  # path there -> sha256
    stopped: bool
