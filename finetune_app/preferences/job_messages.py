"""The spec, events and result of a preference run's job, shared by the web side and the worker."""

from __future__ import annotations

from typing import Literal, TypedDict

from finetune_app.candidates.specs import CandidateSpec
from finetune_app.core.chat_messages import Message

SkipReason = Literal["same", "no_answer"]


class PromptOfPair(TypedDict):
    """The conversation to answer twice. `pair` is the id of its AnswerPair."""

    pair: int
    messages: list[Message]


class PreferenceSpec(TypedDict):
    """The spec of the child: the prompts that have no answers yet. `made`: those that have."""

    candidate: CandidateSpec
    prompts: list[PromptOfPair]
    made: int
    max_new_tokens: int
    temperature: float
    seed: int


class AnswersEvent(TypedDict):
    """Two different answers to a prompt."""

    pair: int
    first: str
    second: str


class SkippedEvent(TypedDict):
    """A prompt without two different answers, and why."""

    pair: int
    why: SkipReason


class PreferenceResult(TypedDict):
    """The last event: the prompts of this attempt that were answered twice, and the others."""

    answered: int
    skipped: int
    stopped: bool
    seconds: float
