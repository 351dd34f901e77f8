"""Runs a grader on an answer."""

from dataclasses import dataclass, field
from typing import Any

from finetune_app.fine_tuning_api.graders.formula import FormulaError, evaluate
from finetune_app.fine_tuning_api.graders.schemas import MultiGrader, TextGrader
from finetune_app.fine_tuning_api.graders.similarity import METRICS
from finetune_app.fine_tuning_api.graders.templates import MissingVariable, render


@dataclass
class Grade:
    """The reward, and OpenAI's names of what went wrong: the reward is 0 then."""

    reward: float = 0.0
    errors: set[str] = field(default_factory=set)
    sub_rewards: dict[str, float] = field(default_factory=dict)


def grade(grader: TextGrader | MultiGrader, variables: dict[str, Any]) -> Grade:
    """variables: the namespaces `item` and `sample`. Raises TextTooLong."""
    return (_multi if isinstance(grader, MultiGrader) else _text)(grader, variables)  # type: ignore[arg-type]


def _text(grader: TextGrader, variables: dict[str, Any]) -> Grade:
    try:
        text, reference = render(grader.input, variables), render(grader.reference, variables)
    except MissingVariable as missing:
        return Grade(errors={missing.error})
    if grader.type == "text_similarity":
        return Grade(METRICS[grader.how](text, reference))
    return Grade(float(_holds(grader.how, text, reference)))


def _holds(operation: str, text: str, reference: str) -> bool:
    if operation == "eq":
        return text == reference
    if operation == "ne":
        return text != reference
    if operation == "like":
        return reference in text
    return reference.casefold() in text.casefold()


def _multi(grader: MultiGrader, variables: dict[str, Any]) -> Grade:
    grades = {name: _text(one, variables) for name, one in grader.graders.items()}
    found = Grade(
        errors=set().union(*(one.errors for one in grades.values())),
        sub_rewards={name: one.reward for name, one in grades.items()},
    )
    if not found.errors:
        try:
            found.reward = evaluate(grader.formula, found.sub_rewards)
        except FormulaError:
            found.errors = {"formula_parse_error"}
    return found
