"""A candidate as plain data, for a worker that has no database."""

from typing import Any, TypedDict

from finetune_app.core.chat_messages import Message


class Shot(TypedDict):
    """A few-shot example."""

    prompt: str
    answer: str


class Retrieval(TypedDict):
    """Where passages are searched. `whole`: all documents are short enough for every prompt."""

    index: str  # absolute folder
    count: int  # passages per question
    whole: bool


class PromptSpec(TypedDict):
    """The fields of prompt_builder.PromptTemplate."""

    instructions: str
    shots: list[Shot]
    grounded: bool
    context_length: int  # tokens


class CandidateSpec(PromptSpec):
    """All that a worker needs to answer as a candidate. Folders are absolute.

    `endpoint` holds the key of a remote model, so a spec must never be stored.
    """

    id: int
    name: str
    base_model: str | None
    adapter: str | None
    number_format: str
    endpoint: dict[str, Any] | None  # of providers.client.Target
    sampling: dict[str, Any]
    knowledge: Retrieval | None


class PromptToAnswer(TypedDict):
    """A row of the dataset without its answer."""

    row: int
    messages: list[Message]


class SuggestionSpec(TypedDict):
    """What a worker's child needs to suggest answers."""

    candidate: CandidateSpec
    questions: list[PromptToAnswer]
    made: int  # suggestions of an earlier attempt
    max_new_tokens: int
