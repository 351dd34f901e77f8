"""What a pattern finds in the answer is what it finds in the wanted one."""

from __future__ import annotations

import re2

from finetune_app.core.storable_text import storable
from finetune_app.goals.measures.base import (
    AS_WANTED,
    Measure,
    MeasureError,
    MeasureSettings,
    Score,
    Setting,
)
from finetune_app.goals.measures.formatting import shortened

MAX_MEMORY = 8 << 20  # bytes that one pattern may take


class Pattern(Measure):
    """A regular expression in RE2's syntax, which takes linear time whatever the text.

    Compares all that it finds, in any order and however often; of a pattern with a group, what the
    group holds. With `compare` "anything", finding anything is enough.
    """

    kind = "pattern"
    settings_schema = {
        "pattern": Setting("text", "Pattern (a regular expression)", ""),
        "compare": Setting(
            "choice", "Right when it finds", "same_as_wanted", ("same_as_wanted", "anything")
        ),
        "ignore_case": Setting("switch", "Treat capital and small letters alike", False),
    }

    def __init__(self, settings: MeasureSettings | None = None) -> None:
        super().__init__(settings)
        text = self.settings["pattern"]
        if not text:
            raise MeasureError("Write the pattern to look for, such as “INV-[0-9]+”.")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = MAX_MEMORY
        options.case_sensitive = not self.settings["ignore_case"]
        try:
            self._pattern = re2.compile(storable(text), options)
        except re2.error as problem:
            raise MeasureError(
                f"This pattern cannot be read: {_reason(problem)}. Look-around and back-references "
                "are not possible."
            ) from problem
        if self._pattern.fullmatch(""):
            raise MeasureError(
                "This pattern fits an empty text, too, so it would find something in anything."
            )

    def summary(self) -> str:
        shown = shortened(self.settings["pattern"], 60)
        if self.settings["compare"] == "anything":
            return f"Right when the pattern “{shown}” occurs in the answer."
        return f"Right when the pattern “{shown}” finds in the answer what it finds in yours."

    def instruction(self) -> str:
        return ""  # few-shot examples show it better than a pattern

    def _check(self, answer: str, wanted: str) -> Score:
        got = self._finds(answer)
        if self.settings["compare"] == "anything":
            return AS_WANTED if got else Score(False, 0.0, "The pattern does not occur")
        target = self._finds(wanted)
        if not target:
            return Score(False, 0.0, "The pattern finds nothing in the wanted answer")
        if got == target:
            return AS_WANTED
        if not got:
            return Score(False, 0.0, "The pattern finds nothing")
        if missing := target - got:
            return Score(False, 0.0, f"“{shortened(min(missing)) or '…'}” is missing")
        return Score(False, 0.0, f"“{shortened(min(got - target)) or '…'}” was not wanted")

    def _finds(self, text: str) -> set[str]:
        group = 1 if self._pattern.groups else 0
        found = self._pattern.finditer(storable(text))
        return {match.group(group) or "" for match in found}


def _reason(problem: Exception) -> str:
    text = problem.args[0] if problem.args else ""
    return shortened(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text), 80)
