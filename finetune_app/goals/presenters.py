"""How an answer is shown: as a small ledger where it has fields, else with differences marked."""

import re
from typing import Any

from finetune_app.goals.measures import mark_differences, parse_fields

LONGEST_MARK = 120  # characters of prose that are marked where fields were wanted
LONG = 60  # characters from which a field's value is a sentence a person reads


def present_answer(answer: str, wanted: str | None = None) -> dict[str, Any]:
    """The context of components/answer.html: {"pairs": [...]} or {"parts": [...], "mono": bool}.

    Without `wanted` nothing is marked.
    """
    found = parse_fields(answer)
    if found and any(value for _key, value in found):  # "Eggs:" and "Milk:" alone are a list
        right = dict(parse_fields(wanted) or []) if wanted is not None else None
        return {
            "pairs": [
                {
                    "key": key,
                    "value": value,
                    "off": right is not None and right.get(key) != value,
                    "say": len(str(value)) > LONG,
                }
                for key, value in found
            ]
        }
    if wanted is not None and parse_fields(wanted):
        return {"parts": _first_sentence_off(answer), "mono": False}
    marked = mark_differences(answer, wanted) if wanted is not None else [(answer, False)]
    mono = answer.lstrip()[:1] in ("{", "[", "<")  # JSON, XML: in the model's typeface
    return {"parts": [{"text": text, "off": off} for text, off in marked], "mono": mono}


def _first_sentence_off(answer: str) -> list[dict[str, Any]]:
    """Prose where fields were wanted is wrong from its first words: no need to mark it all."""
    found = re.match(r"\s*.+?(?:[.!?](?=\s|$)|\n|$)", answer)
    end = min(found.end(), LONGEST_MARK) if found else 0
    parts = [{"text": answer[:end], "off": True}, {"text": answer[end:], "off": False}]
    return [part for part in parts if part["text"]]
