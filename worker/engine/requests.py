"""What can be asked of an engine, and what it gives back. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Message = dict[str, str]


@dataclass(frozen=True)
class GenerationRequest:
    """One conversation to be continued by one answer.

    messages: chat messages ({"role", "content"}), ending where the assistant should speak.
    prompt: a text to be gone on with as it stands, instead of messages.
    adapter: folder of a LoRA adapter, or None for the base model itself.
    max_new_tokens: longest answer, in tokens.
    temperature: 0 takes the likeliest token every time; above 0 draws.
    top_p: draw only from the likeliest tokens that together hold this probability (0..1].
    seed: the same seed draws the same answer, whatever else is in the batch.
    stop: the answer ends before the first of these strings.
    top_logprobs: tell of each token how likely it was, and of so many (0 to 20) likeliest ones;
        None: not wanted.
    require_effect: refuse an adapter that changes nothing, rather than answer as the base would.
    presence_penalty, frequency_penalty: taken off a token's score once it was written, and for
        each time that it was.
    schema: JSON schema, as text, that the answer must fit; it is cut short only by "length".
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


class TextWithLogprobs(str):
    """New text of an answer that tells its log-probabilities; `logprobs` are those of its tokens,
    {"token", "logprob", "bytes", "top_logprobs"} each."""

    logprobs: list[dict[str, Any]]

    def __new__(cls, text: str, logprobs: list[dict[str, Any]]) -> TextWithLogprobs:
        piece = super().__new__(cls, text)
        piece.logprobs = logprobs
        return piece


@dataclass(frozen=True)
class Completion:
    """A finished answer.

    tokens: how many tokens were written, the end-of-turn token included.
    finish_reason: "stop" (the model ended), "length" (ran out of tokens), "cancelled".
    seconds: from joining the batch to the last token; rows of a batch share this time.
    logprobs: of every token of `text`, where they were wanted.
    """

    text: str
    tokens: int
    finish_reason: str
    seconds: float
    prompt_tokens: int = 0
    token_ids: list[int] = field(default_factory=list, repr=False)
    logprobs: list[dict[str, Any]] | None = field(default=None, repr=False)


class PromptTooLong(ValueError):
    """The conversation leaves the model no room to answer."""

    code = "context_length_exceeded"


class EngineFailed(RuntimeError):
    """The model broke down in the middle of the batch; the message says how."""
