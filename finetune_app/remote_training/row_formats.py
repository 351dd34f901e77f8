"""One line of a training file as each platform wants it."""

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.datasets import example_export
from finetune_app.datasets.version_rows import Facts, Row, Rows, split_off


def gemini(row: Row, facts: Facts) -> Any:
    """A conversation; if every row is a pair, Gemini's format for preferences, in which the better
    answer has the higher score."""
    if not facts.only_pairs:
        return example_export.vertex(row, facts)
    system, _rest = split_off(row["messages"])
    line = example_export.vertex(row, facts)
    *before, answer = line["contents"]
    worse = {"role": "model", "parts": [{"text": row["rejected"]}]}
    start = {"systemInstruction": line["systemInstruction"]} if system else {}
    return start | {
        "contents": before,
        "completions": [
            {"score": 1.0, "completion": answer},
            {"score": 0.0, "completion": worse},
        ],
    }


FORMATS: dict[str, Callable[[Row, Facts], Any]] = {
    "openai": example_export.openai,
    "gemini": gemini,
}


def require_possible(row_format: str, rows: Rows, facts: Facts) -> None:
    """Raises PlainError where the format cannot say what is to be learned."""
    if row_format != "gemini":
        return
    if facts.tools:
        raise PlainError(
            _("Some examples call tools. Finetune sends those to other platforms alone.")
        )
    if facts.unlearned:
        raise PlainError(
            _(
                "Some answers are read and not learned, which Gemini's format cannot say. Train on "
                "another platform, or learn from all answers."
            )
        )
    if any(one["role"] == "system" for row in rows() for one in row["messages"][1:]):
        raise PlainError(
            _(
                "Some conversations have instructions in the middle, which Gemini does not take. "
                "Move them to the beginning, or train on another platform."
            )
        )
