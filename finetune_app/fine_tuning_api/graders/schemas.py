"""Graders as a program sends them, validated after OpenAI's API reference."""

import ast
from dataclasses import dataclass
from typing import Any

from finetune_app.fine_tuning_api.graders.formula import FormulaError, parse_formula
from finetune_app.fine_tuning_api.graders.similarity import METRICS, REFUSED
from finetune_app.fine_tuning_api.graders.templates import (
    InvalidTemplate,
    Template,
    parse_template,
)
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject
from finetune_app.gateway.request_fields import refuse_unknown, required_text

MAX_GRADERS = 20
# The field that says how a type compares, and its values.
CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "string_check": ("operation", ("eq", "ne", "like", "ilike")),
    "text_similarity": ("evaluation_metric", tuple(METRICS)),
}
TEXT_FIELDS = ("type", "name", "input", "reference")
# Why a type of OpenAI's is not run here.
REFUSED_TYPES = {
    "python": "Finetune runs no code that a request brings.",
    "score_model": "A grader asks no model here; judges are tested first, on the pages.",
    "label_model": "A grader asks no model here; judges are tested first, on the pages.",
}


@dataclass(frozen=True)
class TextGrader:
    """Compares two texts: `how` is an operation of string_check, or a metric of
    text_similarity."""

    type: str
    name: str
    input: Template
    reference: Template
    how: str


@dataclass(frozen=True)
class MultiGrader:
    """Several graders by the names they have in the formula."""

    name: str
    graders: dict[str, TextGrader]
    formula: ast.expr
    type: str = "multi"


def parse_grader(value: Any) -> TextGrader | MultiGrader:
    """Raises ApiError."""
    given = _grader_object(value)
    return _multi_grader(given) if given.get("type") == "multi" else _text_grader(given)


def _grader_object(value: Any) -> JsonObject:
    if not isinstance(value, dict):
        raise ApiError(400, "“grader” must be a JSON object.", param="grader")
    return value


def _text_grader(given: JsonObject) -> TextGrader:
    kind = required_text(given, "type")
    if kind in REFUSED_TYPES:
        why = f"Graders of the type “{kind}” are not run. {REFUSED_TYPES[kind]}"
        raise _unsupported(why, "type")
    if kind not in CHOICES:
        raise ApiError(
            400, "The “type” of a grader is string_check, text_similarity or multi.", param="type"
        )
    field, allowed = CHOICES[kind]
    refuse_unknown(given, (*TEXT_FIELDS, field))
    how = required_text(given, field)
    if field == "evaluation_metric" and how in REFUSED:
        raise _unsupported(f"The metric “{how}” is not measured. {REFUSED[how]}", field)
    if how not in allowed:
        raise ApiError(400, f"“{field}” is one of {', '.join(allowed)}.", param=field)
    name = required_text(given, "name")
    return TextGrader(kind, name, _template(given, "input"), _template(given, "reference"), how)


def _multi_grader(given: JsonObject) -> MultiGrader:
    refuse_unknown(given, ("type", "name", "graders", "calculate_output"))
    name, text = required_text(given, "name"), required_text(given, "calculate_output")
    graders = {key: _text_grader(one) for key, one in _inner_graders(given).items()}
    try:
        return MultiGrader(name, graders, parse_formula(text, graders))
    except FormulaError as problem:
        raise ApiError(
            400, f"“calculate_output” cannot be computed. {problem}", param="calculate_output"
        ) from problem


def _inner_graders(given: JsonObject) -> dict[str, JsonObject]:
    """By name, as OpenAI's guide has them; or one, as its API reference has it."""
    found = _grader_object(given.get("graders"))
    if isinstance(found.get("type"), str):
        found = {required_text(found, "name"): found}
    if not 1 <= len(found) <= MAX_GRADERS:
        raise ApiError(400, f"“graders” are 1 to {MAX_GRADERS} graders by name.", param="graders")
    unusable = next((name for name in found if not name.isidentifier()), None)
    if unusable is not None:
        raise ApiError(
            400,
            f"“{unusable[:80]}” cannot be a name in “calculate_output”. Use letters, digits and _.",
            param="graders",
        )
    return {name: _grader_object(one) for name, one in found.items()}


def _template(given: JsonObject, name: str) -> Template:
    text = given.get(name)
    if not isinstance(text, str):
        raise ApiError(400, f"“{name}” is missing.", param=name)
    try:
        return parse_template(text)
    except InvalidTemplate as problem:
        raise ApiError(400, f"“{name}”: {problem}", param=name) from problem


def _unsupported(message: str, param: str) -> ApiError:
    return ApiError(400, message, param=param, code="unsupported_value")
