"""The question: which column is what? Guessed, or as last time; shown with three rows."""

import json
from typing import Any

from finetune_app.datasets.forms import HowForm, MappingForm, ShapeForm
from finetune_app.datasets.mapping import BadRow, conversation
from finetune_app.datasets.models import Import
from finetune_app.datasets.views.common import answer_pairs


def question(
    item: Import,
    form: MappingForm | None = None,
    mapping: dict[str, str] | None = None,
    how: HowForm | None = None,
) -> dict[str, Any]:
    """The context of the page, with `mapping` as it was chosen so far."""
    shape, mapping = item.shape, mapping or item.mapping
    form = form or MappingForm(columns=shape["columns"], mapping=mapping)
    how = how or HowForm(empty=not item.dataset.examples.kept().exists())
    missing = missing_of(mapping)
    guess = shape.get("guess", item.mapping)
    other = {name for name in form.fields if mapping.get(name, "") != guess.get(name, "")}
    guessed = other <= {"split", "key", "group"}  # these change nothing about what is usable
    first = shape["rows"]
    return {
        "form": form,
        "how": how,
        "mode": how["mode"].value() if "mode" in how.fields else Import.Mode.APPEND,
        "mapping": mapping,
        "shape": shape,
        "shape_form": ShapeForm(shape=shape),
        "samples": [] if missing else _samples(first, mapping),
        "columns": [
            {
                "name": name,
                "filled": shape["filled"].get(name, 0),
                "values": [_short(row["cells"].get(name)) for row in first[:2]],
            }
            for name in shape["columns"][:50]
        ],
        "first_lines": [row["line"] for row in first[:2]],
        "complete": not missing,
        "guessed": guessed,
        "rare_open": bool(other & set(form.RARE)),
        "remembered": bool(shape.get("remembered")),
        "usable": shape["usable"] if guessed else None,
        "left_out": shape["row_count"] - shape["usable"] if guessed else shape["unreadable"],
        "likely": _likely(shape, mapping) if missing else "",
        "missing": missing,
    }


def missing_of(mapping: dict[str, str]) -> str:
    """The part that still needs a column: answer, prompt or none."""
    if mapping["style"] == "messages":
        return ""
    if not mapping.get("answer") and not mapping.get("unanswered"):
        return "answer"
    return "" if mapping.get("prompt") else "prompt"


def _likely(shape: dict[str, Any], mapping: dict[str, str]) -> str:
    """The column with the most text among those that have no part yet."""
    taken = set(mapping.values())
    left = [name for name in shape["columns"] if name not in taken]

    def says(name: str) -> int:
        return sum(len(str(row["cells"].get(name) or "")) for row in shape["rows"])

    return max(left, key=says, default="")


def _samples(rows: list[dict[str, Any]], mapping: dict[str, str]) -> list[dict[str, Any]]:
    """Three rows as the model will learn them; rows that cannot be used are shown as such."""
    samples, bad = [], []
    for row in rows:
        try:
            messages = conversation(row["cells"], mapping)
        except BadRow as error:
            bad.append({"line": row["line"], "problem": str(error)})
            continue
        *before, answer = messages
        samples.append(
            {
                "line": row["line"],
                "before": before,
                "answer": answer["content"],
                "pairs": answer_pairs(answer["content"]),
            }
        )
    return (samples or bad)[:3]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value) if value is not None else ""
    return text if len(text) <= 120 else text[:120] + "…"
