"""Generation requests, their results, and the errors of a request. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.engine_protocol import TokenLogprob

END_OF_THOUGHT_TOKENS = 8  # room for the tokens between a thought and its answer
# Less draws the greedy token but for ties, and logits divided by it may overflow.
MIN_TEMPERATURE = 1e-5

__all__ = [
    "ANY_FORM",
    "Completion",
    "EngineFailed",
    "GenerationRequest",
    "Grammar",
    "Message",
    "PromptTooLong",
    "TextWithLogprobs",
    "ThoughtText",
    "TokenLogprob",
]


@dataclass(frozen=True)
class Grammar:
    """The form of an answer. text: in Lark. matcher: an `LLMatcher` at its start, to be copied."""

    text: str
    matcher: Any


ANY_FORM = Grammar("", None)


@dataclass(frozen=True)
class GenerationRequest:
    """A conversation to be completed with one answer of the assistant.

    messages: chat messages, ending where the assistant speaks next.
    tools: functions that the answer may call. The chat template shows them, and a call that the
        model begins has the name of one of them and arguments that match its schema.
    required_tools: names of functions of which the answer has to call one; () lets the model
        decide.
    parallel_tool_calls: the answer may call several.
    adapter: folder of a LoRA adapter; None is the base model.
    max_new_tokens: longest answer, in tokens; its thought is not counted.
    thought_tokens: longest thought before the answer, in tokens; 0 answers at once.
    temperature: 0 decodes greedily, as does less than MIN_TEMPERATURE; others sample.
    top_p: samples from the most likely tokens whose probabilities add up to this (0..1].
    seed: the same seed samples the same answer, whatever else is in the batch.
    stop: the answer ends before the first of these strings.
    top_logprobs: log-probabilities of each token and of this many (0 to 20) most likely
        alternatives; None for none.
    schema: JSON schema, as text, that the answer must match unless it ends by length.
    prompt: text to continue, without a chat template, instead of `messages`.
    require_effect: reject an adapter that changes nothing, instead of answering as the base model.
    presence_penalty: subtracted from the logit of a token that was written before.
    frequency_penalty: subtracted from its logit for each time it was written.
    caller: whose request it is. Callers take turns, and share nothing that is cached of a prompt.
    is_one_of_several: others of the same call follow at once, and the first step is for all.
    grammar: compiled from `schema` and `tools` by `Backend.prepare`, and only for that backend.
    """

    messages: list[Message]
    adapter: Path | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 17
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    schema: str | None = None
    prompt: str | None = None
    require_effect: bool = False
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    tools: tuple[Tool, ...] = ()
    thought_tokens: int = 0
    required_tools: tuple[str, ...] = ()
    parallel_tool_calls: bool = True
    caller: str = ""
    is_one_of_several: bool = False
    grammar: Grammar | None = field(default=None, repr=False, compare=False)

    @property
    def is_sampled(self) -> bool:
        return self.temperature >= MIN_TEMPERATURE

    @property
    def needs_form(self) -> bool:
        """Whether an answer in another form is of no use."""
        return bool(self.schema or self.required_tools)

    @property
    def max_tokens(self) -> int:
        """Longest thought and answer together."""
        return self.max_new_tokens + (self.thought_tokens + END_OF_THOUGHT_TOKENS) * self.thinks

    @property
    def thinks(self) -> bool:
        return self.thought_tokens > 0


class ThoughtText(str):
    """Streamed text of the thought before an answer."""


class TextWithLogprobs(str):
    """Streamed text of a request with `top_logprobs`; `logprobs` has an entry for each token."""

    logprobs: list[TokenLogprob]

    def __new__(cls, text: str, logprobs: list[TokenLogprob]) -> TextWithLogprobs:
        chunk = super().__new__(cls, text)
        chunk.logprobs = logprobs
        return chunk


@dataclass(frozen=True)
class Completion:
    """A finished answer.

    text: without the thought before it.
    tokens: number of tokens written, the thought and the end-of-turn token included.
    finish_reason: "stop" (the model ended it), "length" (max_new_tokens), or "cancelled".
    seconds: from joining the batch to the last token; sequences of a batch share this time.
    logprobs: of every token of `text`, where requested.
    """

    text: str
    tokens: int
    finish_reason: str
    seconds: float
    prompt_tokens: int = 0
    token_ids: list[int] = field(default_factory=list, repr=False)
    logprobs: list[TokenLogprob] | None = field(default=None, repr=False)
    thought: str = ""
    thought_tokens: int = 0


class PromptTooLong(ValueError):
    """The prompt leaves no room for an answer in the model's context."""

    code = "context_length_exceeded"


class EngineFailed(RuntimeError):
    """The model failed in the middle of a batch; the message says how."""
