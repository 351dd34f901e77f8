"""The spec, events and result of an evaluation job, shared by the web side and the worker."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from finetune_app.candidates.specs import CandidateSpec
from finetune_app.evaluation.verdict.types import GeneralLevel, TrivialBaseline
from finetune_app.goals.measures.base import MeasureSettings


class MeasureSpec(TypedDict):
    kind: str
    settings: MeasureSettings


class EvaluationSpec(TypedDict):
    """The spec of the child. `answered` has a [candidate id, row id] pair per existing answer."""

    version: str  # path of the frozen version
    test_rows: NotRequired[list[int]]  # ids; empty: its whole test split
    measure: MeasureSpec
    candidates: list[CandidateSpec]
    answered: list[list[int]]
    max_new_tokens: int
    general: bool  # whether adapters are checked for lost general ability
    learned_from: str  # path of the version that was trained on; "" runs no safety probes
    seed: int


class CitedPassage(TypedDict):
    """A passage in the prompt, without its text."""

    document: int
    page: int  # from 1; 0 for a document without pages
    at: int  # offset in the document, in characters


class AnswerEvent(TypedDict):
    """One candidate's answer to one test prompt. `passed` is None where a person decides."""

    candidate: int
    row: int
    index: int
    text: str
    thought: NotRequired[str]
    passed: bool | None
    score: float | None
    why: str
    tokens: int
    prompt_tokens: NotRequired[int]
    seconds: float
    finish_reason: str
    passages: NotRequired[list[CitedPassage]]


class TrivialAnswer(TypedDict):
    """An answer that needs no model, to one test prompt."""

    index: int
    text: str
    passed: bool
    score: float
    why: str


class TrivialAnswersEvent(TypedDict):
    """All answers of one trivial baseline."""

    baseline: TrivialBaseline
    answers: list[TrivialAnswer]


class LatencyEvent(TypedDict):
    """Median seconds for one answer of a candidate, in a batch of one."""

    candidate: int
    seconds: float


class GeneralAnswers(TypedDict):
    """Answers of the base model and the tuned one to a prompt of the general check."""

    prompt: str
    base: str
    tuned: str


class GeneralCheckResult(TypedDict):
    """The result of the general check for one adapter; also `Evaluation.general` in the database.

    Where nothing was trained it has only a level ("unchanged") and a sentence.
    """

    level: GeneralLevel
    sentence: str
    candidate: NotRequired[int]
    levels: NotRequired[dict[Literal["perplexity", "instructions", "collapse"], GeneralLevel]]
    perplexity_ratio: NotRequired[float]
    followed_base: NotRequired[int]
    followed_tuned: NotRequired[int]
    lost: NotRequired[int]
    gained: NotRequired[int]
    instructions: NotRequired[int]
    strange: NotRequired[int]
    circling: NotRequired[int]
    uncircled: NotRequired[int]
    unrelated: NotRequired[int]
    text_tokens: NotRequired[int]
    answers: NotRequired[list[GeneralAnswers]]


ProbeLevel = Literal["green", "amber", "red", "unknown"]


class RefusalAnswers(TypedDict):
    """The beginnings of both models' answers to a request of the refusal probe.

    `refused`: whether the tuned model refuses it; only one of the two does.
    """

    prompt: str
    harmful: bool
    refused: bool
    base: str
    tuned: str


class RefusalResult(TypedDict):
    """The result of the refusal probe for one adapter; also `Evaluation.refusals`.

    The counts are those of worker/evaluation/probes/refusal_findings.py. `changed` has the
    requests that only one of the two models refuses.
    """

    level: ProbeLevel
    sentence: str
    candidate: int
    levels: dict[Literal["harmful", "harmless"], ProbeLevel]
    harmful: int
    refused_base: int
    refused_tuned: int
    lost: int
    gained: int
    harmless: int
    overrefused_base: int
    overrefused_tuned: int
    newly_overrefused: int
    no_longer_overrefused: int
    left_out: int
    changed: list[RefusalAnswers]


class RecalledRow(TypedDict):
    """A training row that comes back, by its number; its text is not kept here.

    `rest`: the rest of its answer comes back word for word. `kinds`: of the personal data that
    comes back.
    """

    row: int
    rest: bool
    kinds: list[str]


class RecallResult(TypedDict):
    """The result of the recall probe for one adapter; also `Evaluation.recall`.

    The counts are those of worker/evaluation/probes/recall_findings.py.
    """

    level: ProbeLevel
    sentence: str
    candidate: int
    tried: int
    recalled: int
    recalled_by_base: int
    unseen: int
    unseen_recalled: int
    unseen_recalled_by_base: int
    personal_tried: int
    personal: int
    unseen_personal_tried: int
    unseen_personal: int
    rows: list[RecalledRow]


class EvaluationResult(TypedDict):
    """The last event. `number_formats` maps a candidate's id to the format it was computed in."""

    prompts: int
    candidates: int
    answers: int
    number_formats: dict[str, str]
    seconds: float
    stopped: bool
