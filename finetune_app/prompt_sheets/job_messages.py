"""The spec, events and result of a prompt sheet's job, shared by the web side and the worker."""

from __future__ import annotations

from typing import TypedDict

from finetune_app.candidates.specs import CandidateSpec


class SheetSpec(TypedDict):
    """The spec of the child. `answered` has a [candidate id, index] pair per existing answer."""

    prompts: list[str]
    candidates: list[CandidateSpec]
    answered: list[list[int]]
    max_new_tokens: int


class SheetAnswerEvent(TypedDict):
    """One candidate's answer to the prompt at `index`. `refused`: it could not be asked, `why`."""

    candidate: int
    index: int
    text: str
    refused: bool
    why: str
    tokens: int
    seconds: float


class SheetResult(TypedDict):
    """The last event: how many answers were given in this attempt."""

    answers: int
    stopped: bool
    seconds: float
