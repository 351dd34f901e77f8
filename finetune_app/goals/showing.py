"""How an answer is shown: as a small ledger where it has fields, else with differences marked."""

from typing import Any

from finetune_app.goals.measures import fields, wash

LONG = 60  # characters from which a field's value is a sentence a person reads


def shown(answer: str, wanted: str | None = None) -> dict[str, Any]:
    """The context of components/answer.html: {"pairs": [...]} or {"parts": [...], "mono": bool}.

    Without `wanted` nothing is marked.
    """
    found = fields(answer)
    if found:
        right = dict(fields(wanted) or []) if wanted is not None else None
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
    marked = wash(answer, wanted) if wanted is not None else [(answer, False)]
    return {
        "parts": [{"text": text, "off": off} for text, off in marked],
        "mono": bool(wanted is not None and fields(wanted)),
    }
