"""The answer is exactly the wanted one."""

from __future__ import annotations

import re

from finetune_app.goals.measures.answer_fields import parse_key_lines
from finetune_app.goals.measures.base import AS_WANTED, Measure, Score, Setting
from finetune_app.goals.measures.formatting import describe_names, join_with_and, number_word

Lines = list[tuple[str, str]]
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")  # 3.5 is one number, 90W a number and a unit


class Exact(Measure):
    """Equal character for character, apart from what the settings ignore.

    Where the wanted answer is "key: value" lines, the label names the lines that differ. With
    `lines`, only those must match; the others must be present with any value. With `within`, the
    wanted answer must occur in the answer as whole words: for facts, stated in a sentence.
    """

    kind = "exact"
    settings_schema = {
        "ignore_case": Setting("switch", "Treat capital and small letters alike", False),
        "ignore_outer_space": Setting("switch", "Ignore space around the answer", True),
        "lines": Setting("list", "Lines that must match", []),
        "within": Setting("switch", "The answer may say more around it", False),
    }

    def summary(self) -> str:
        if self.settings["within"]:
            return "Right when the answer contains what you wanted, whatever else it says."
        details = " Capital and small letters count as the same." * self.settings["ignore_case"]
        if self.settings["lines"]:
            names = join_with_and(self.settings["lines"])
            return f"Right when {names} match the wanted answer, in the same lines.{details}"
        return f"Right when the answer is exactly the one you wanted.{details}"

    def instruction(self) -> str:
        if self.settings["within"]:
            return "Answer in one short sentence."
        if self.settings["lines"]:
            names = join_with_and(self.settings["lines"])
            return (
                f"Answer in lines of the form “name: value” and nothing else, {names} among them."
            )
        return "Answer with the answer alone: no greeting, no explanation, nothing around it."

    def _check(self, answer: str, wanted: str) -> Score:
        if self.settings["within"]:
            return self._check_within(answer, wanted)
        answer, wanted = self._normalised(answer), self._normalised(wanted)
        if answer == wanted:
            return AS_WANTED
        wanted_lines = parse_key_lines(wanted)
        if wanted_lines:
            return self._check_lines(parse_key_lines(answer), wanted_lines)
        if not answer.strip():
            return Score(False, 0.0, "Empty answer")
        if answer.casefold() == wanted.casefold():
            return Score(False, 0.0, "Only capital letters differ")
        if wanted.strip() and answer.startswith(wanted):
            return Score(False, 0.0, "Says more than wanted")
        return Score(False, 0.0, "Not as wanted")

    def _check_within(self, answer: str, wanted: str) -> Score:
        """Only letters and digits count: case, white space and punctuation are ignored."""
        given, sought = (f" {' '.join(_WORD.findall(t.casefold()))} " for t in (answer, wanted))
        if not sought.strip():
            return Score(False, 0.0, "There is no wanted answer")
        if sought in given:
            return Score(True, 1.0, "It says so")
        return Score(False, 0.0, "Empty answer" if not given.strip() else "Does not say so")

    def _normalised(self, text: str) -> str:
        """Remove the differences that the settings ignore."""
        text = text.replace("\r\n", "\n")
        if self.settings["ignore_outer_space"]:
            text = "\n".join(line.rstrip() for line in text.strip().split("\n"))
        return text.casefold() if self.settings["ignore_case"] else text

    def _check_lines(self, got: Lines | None, wanted: Lines) -> Score:
        if got is None:
            return Score(False, 0.0, f"Not in {number_word(len(wanted))} lines")
        must_match = self._names(wanted)
        found = dict(got)
        missing = [key for key, _ in wanted if key not in found]
        differing = [
            key
            for key, value in wanted
            if key in must_match and key in found and found[key] != value
        ]
        extra = [key for key, _ in got if key not in dict(wanted)]
        right = len(wanted) - len(missing) - len(differing)
        value = min(right / max(len(wanted), len(got)), 0.99)
        if missing:
            return Score(False, value, describe_names(missing, "is missing", "are missing", "line"))
        if differing:
            return Score(False, value, describe_names(differing, "differs", "differ", "line"))
        if extra:
            return Score(
                False, value, describe_names(extra, "was not wanted", "were not wanted", "line")
            )
        if [key for key, _ in got] != [key for key, _ in wanted]:
            return Score(False, value, "Lines in another order")
        if len(must_match) < len(wanted):
            return AS_WANTED
        return Score(False, value, "Spacing differs")

    def _names(self, wanted: Lines) -> set[str]:
        """Return the keys whose values must match: all, unless the settings name some."""
        keys = {key for key, _ in wanted}
        chosen = {self._normalised(name) for name in self.settings["lines"]}
        return (chosen & keys) or keys
