"""Plain data that passes between the web, the workers and the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from finetune_app.core.chat_messages import Message

if TYPE_CHECKING:
    from finetune_app.providers.client import TargetSpec


class Shot(TypedDict):
    """A few-shot example."""

    prompt: str
    answer: str


class Retrieval(TypedDict):
    """Where passages are searched. `whole`: all documents are short enough for every prompt,
    except beside a long conversation: there they are searched."""

    index: str  # absolute folder
    count: int  # passages per question
    whole: bool


class PromptSpec(TypedDict):
    """The fields of prompt_builder.PromptTemplate."""

    instructions: str
    shots: list[Shot]
    grounded: bool
    context_length: int  # tokens


class CandidateSampling(TypedDict, total=False):
    """The sampling settings of a candidate; empty for greedy decoding."""

    temperature: float
    top_p: float


class ModelFolders(TypedDict):
    """Absolute folders on this machine; none for a remote model.

    tuned_from: the base model's, where `base_model` is a model of which every weight was trained.
    """

    base_model: str | None
    adapter: str | None
    tuned_from: str | None


class CandidateSpec(PromptSpec, ModelFolders):
    """All that a worker needs to answer as a candidate.

    `endpoint` contains the key of a remote model, so a spec must never be stored.
    """

    id: int
    name: str
    number_format: str
    endpoint: TargetSpec | None
    sampling: CandidateSampling
    thinking: str  # see core/thinking.py
    knowledge: Retrieval | None


class Citation(TypedDict):
    """A passage in the prompt, as the chat page shows it."""

    name: str  # of the document
    title: str
    page: int  # 0 when the document has no pages
    text: str
    url: str  # of the passage in the document; empty when the document is deleted


class PromptToAnswer(TypedDict):
    """A row of the dataset without its answer."""

    row: int
    messages: list[Message]


class SuggestionSpec(TypedDict):
    """The spec of a child that suggests answers."""

    candidate: CandidateSpec
    questions: list[PromptToAnswer]
    made: int  # rows that an earlier attempt has asked
    max_new_tokens: int


class SuggestionResult(TypedDict):
    """The result of a run: `rows` asked in this attempt, `refused` of them without a suggestion."""

    rows: int
    refused: int
    stopped: bool
    seconds: float
