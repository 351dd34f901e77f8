"""Prepares an answer for the page: as fields where it has some, else with differences marked."""

import re
from typing import TypedDict

from finetune_app.goals.measures import mark_differences, parse_fields

MAX_MARKED_CHARACTERS = 120  # of prose, where fields were wanted
PROSE_CHARACTERS = 60  # a longer field value is set as prose


class FieldPair(TypedDict):
    """One field of an answer. `off`: it differs from the wanted one; `say`: it is set as prose."""

    key: str
    value: str
    off: bool
    say: bool


class TextPart(TypedDict):
    """A part of an answer. `off`: it differs from the wanted answer."""

    text: str
    off: bool


class PresentedAnswer(TypedDict, total=False):
    """The context of components/answer.html: either `pairs`, or `parts` and `mono` (monospace)."""

    pairs: list[FieldPair]
    parts: list[TextPart]
    mono: bool


def present_answer(answer: str, wanted: str | None = None) -> PresentedAnswer:
    """Prepare an answer for the page. Without `wanted` nothing is marked."""
    found = parse_fields(answer)
    if found and any(value for _key, value in found):  # "Eggs:" and "Milk:" alone are a list
        right = dict(parse_fields(wanted) or []) if wanted is not None else None
        return {
            "pairs": [
                {
                    "key": key,
                    "value": value,
                    "off": right is not None and right.get(key) != value,
                    "say": len(str(value)) > PROSE_CHARACTERS,
                }
                for key, value in found
            ]
        }
    if wanted is not None and parse_fields(wanted):
        return {"parts": _first_sentence_off(answer), "mono": False}
    marked = mark_differences(answer, wanted) if wanted is not None else [(answer, False)]
    mono = answer.lstrip()[:1] in ("{", "[", "<")  # JSON, XML: in the model's typeface
    return {"parts": [{"text": text, "off": off} for text, off in marked], "mono": mono}


def _first_sentence_off(answer: str) -> list[TextPart]:
    """Mark only the first sentence of prose where fields were wanted, since all of it is wrong."""
    found = re.match(r"\s*.+?(?:[.!?](?=\s|$)|\n|$)", answer)
    end = min(found.end(), MAX_MARKED_CHARACTERS) if found else 0
    parts: list[TextPart] = [
        {"text": answer[:end], "off": True},
        {"text": answer[end:], "off": False},
    ]
    return [part for part in parts if part["text"]]
