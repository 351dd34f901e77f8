"""The spec, events and result of a judge's job, shared by the web side and the worker."""

from __future__ import annotations

from typing import Literal, TypedDict

from finetune_app.candidates.specs import CandidateSpec

ControlKind = Literal["longer", "shorter", "padded", "base_style", "ours_style"]
Kind = Literal["answers", ControlKind]
"""`answers` is a pair of the evaluation, base against ours; the others are control pairs."""
CONTROL_KINDS: tuple[ControlKind, ...] = (
    "longer",
    "shorter",
    "padded",
    "base_style",
    "ours_style",
)

Choice = Literal["A", "B", "T", "none"]
"""What a judge answered: A, B, a tie, or nothing that can be used."""


class Pair(TypedDict):
    """Two answers to one test prompt: base and ours, or in a control pair right and wrong."""

    kind: Kind
    index: int  # position of the prompt in the test split
    prompt: str
    first: str
    second: str


class GivenChoice(TypedDict):
    """A judge's answer to one pair in one order. `swapped`: the second answer was shown as A."""

    kind: Kind
    index: int
    swapped: bool
    choice: Choice


class JudgeSpec(TypedDict):
    """The spec of the child. `given` are the choices of an earlier attempt."""

    judge: CandidateSpec
    pairs: list[Pair]
    given: list[GivenChoice]
    max_new_tokens: int


class JudgeResult(TypedDict):
    """The last event: how many questions were answered in this attempt."""

    answers: int
    stopped: bool
    seconds: float
