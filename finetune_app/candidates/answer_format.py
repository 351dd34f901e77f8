"""Infers the format of correct answers: JSON fields, "name: value" lines, XML, or a few labels."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.datasets.label_sets import LabelLimits
from finetune_app.goals.measures import parse_fields
from finetune_app.goals.measures.answer_fields import parse_key_lines
from finetune_app.goals.measures.formatting import join_with_and, strip_code_fence
from finetune_app.goals.measures.json_fields import NotJson, read_json

PROMPT_HINT = LabelLimits(24, 2)  # listed in a sentence of the instructions
FIELD_HINT = LabelLimits(12, 3, least=1)  # the values of one field of an answer


@dataclass(frozen=True)
class AnswerFormat:
    """`instruction` is a sentence that asks for the format; `matches` tests an answer."""

    name: str
    instruction: str
    matches: Callable[[str], bool]


def infer_format(answers: Sequence[str]) -> AnswerFormat | None:
    """The format that all correct answers share; None when they are free text."""
    answers = [answer for answer in answers if answer.strip()]
    if not answers:
        return None
    if names := _json_fields(answers):
        words = _("Answer with JSON only, with the fields %(names)s, and no other words.")
        return AnswerFormat("JSON", words % {"names": join_with_and(names)}, _is_json)
    if names := _line_fields(answers):
        return _lines_format(names)
    if all(answer.lstrip().startswith("<") for answer in answers):
        words = _("Answer with the XML only, and no other words.")
        return AnswerFormat("XML", words, _is_xml)
    labels = Counter(answer.strip() for answer in answers)
    if PROMPT_HINT.accept(len(labels), len(answers)):
        words = _("Answer with exactly one of these, and nothing else: %(sorts)s.")
        return AnswerFormat(
            _("one of %(n)d answers") % {"n": len(labels)},
            words % {"sorts": ", ".join(sorted(labels))},
            lambda answer: answer.strip() in labels,
        )
    return None


def field_labels(answers: Sequence[str]) -> dict[str, set[str]]:
    """The values of each field that has only a few, which then are labels."""
    found: dict[str, list[str]] = {}
    for answer in answers:
        for key, value in parse_fields(answer) or []:
            found.setdefault(key, []).append(value)
    return {
        key: set(values)
        for key, values in found.items()
        if FIELD_HINT.accept(len(set(values)), len(values))
    }


def _lines_format(names: list[str]) -> AnswerFormat:
    lines = "\n".join(f"{name}: …" for name in names)
    words = _("Answer in exactly these lines, and nothing else:\n%(lines)s") % {"lines": lines}

    def matches(answer: str) -> bool:
        return set(names) <= {key for key, _value in parse_key_lines(answer) or []}

    return AnswerFormat(_("lines %(names)s") % {"names": join_with_and(names)}, words, matches)


def _is_xml(answer: str) -> bool:
    return strip_code_fence(answer).lstrip().startswith("<")


def _is_json(answer: str) -> bool:
    try:
        return isinstance(read_json(strip_code_fence(answer)), dict | list)
    except NotJson:
        return False


def _json_fields(answers: Sequence[str]) -> list[str]:
    """The fields that every answer has, in order; empty unless all answers are JSON objects."""
    names: list[str] | None = None
    for answer in answers:
        if not answer.lstrip().startswith("{") or not _is_json(answer):
            return []
        found = list(read_json(strip_code_fence(answer)))
        names = found if names is None else [name for name in names if name in found]
    return names or []


def _line_fields(answers: Sequence[str]) -> list[str]:
    names: list[str] | None = None
    for answer in answers:
        found = [key for key, _value in parse_fields(answer) or []]
        names = found if names is None else [name for name in names if name in found]
    return names or []
