"""Success measures: how a goal tells a right answer from a wrong one.

One measure per file, in pure Python, so that the worker and the pages share the code. No measure
executes, fetches or evaluates anything it is given.
"""

from __future__ import annotations

from collections.abc import Mapping

from finetune_app.goals.measures.answer_fields import parse_fields
from finetune_app.goals.measures.base import (
    Measure,
    MeasureError,
    MeasureSettings,
    NeedsEmbedder,
    NeedsPerson,
    Score,
    Setting,
)
from finetune_app.goals.measures.bash import Bash
from finetune_app.goals.measures.blind_choice import BlindChoice
from finetune_app.goals.measures.chrf import ChrfSimilarity
from finetune_app.goals.measures.differences import mark_differences
from finetune_app.goals.measures.exact import Exact
from finetune_app.goals.measures.items import Items
from finetune_app.goals.measures.json_fields import JsonFields
from finetune_app.goals.measures.meaning import Embed, MeaningSimilarity
from finetune_app.goals.measures.number import Number
from finetune_app.goals.measures.pattern import Pattern
from finetune_app.goals.measures.proposal import Proposal, propose
from finetune_app.goals.measures.refusal import Refusal
from finetune_app.goals.measures.rouge_l import RougeL
from finetune_app.goals.measures.rules import Rules
from finetune_app.goals.measures.xml_fields import XmlFields

KINDS: dict[str, type[Measure]] = {
    measure.kind: measure
    for measure in (
        Exact,
        Number,
        Refusal,
        JsonFields,
        XmlFields,
        Items,
        Pattern,
        Bash,
        ChrfSimilarity,
        RougeL,
        MeaningSimilarity,
        BlindChoice,
        Rules,
    )
}


def get_measure(kind: str, settings: MeasureSettings | None = None) -> Measure:
    """Return the measure of this kind.

    Raises:
        MeasureError: unknown kind or unusable settings; the message is fit for a page.
    """
    if kind not in KINDS:
        raise MeasureError(f"There is no measure called “{kind}”.")
    if settings is not None and not isinstance(settings, Mapping):
        raise MeasureError("A measure's settings are names with values.")
    return KINDS[kind](settings)


def summary(kind: str, settings: MeasureSettings | None = None) -> str:
    """When an answer is right, for a person. Raises MeasureError for unusable settings."""
    return get_measure(kind, settings).summary()


def instruction(kind: str, settings: MeasureSettings | None = None) -> str:
    """When an answer is right, for a model. Raises MeasureError for unusable settings."""
    return get_measure(kind, settings).instruction()


__all__ = [
    "KINDS",
    "Embed",
    "MeaningSimilarity",
    "Measure",
    "MeasureError",
    "MeasureSettings",
    "NeedsEmbedder",
    "NeedsPerson",
    "Proposal",
    "Score",
    "Setting",
    "get_measure",
    "instruction",
    "mark_differences",
    "parse_fields",
    "propose",
    "summary",
]
