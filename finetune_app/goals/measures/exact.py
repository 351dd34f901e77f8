"""The answer is exactly the wanted one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from finetune_app.goals.measures.answer_fields import parse_key_lines
from finetune_app.goals.measures.base import AS_WANTED, Measure, Score, Setting
from finetune_app.goals.measures.field_scores import Field, FieldPair, Fields
from finetune_app.goals.measures.formatting import describe_names, join_with_and, number_word
from finetune_app.goals.measures.typical_answers import commonest_answers

Lines = list[tuple[str, str]]
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")  # 3.5 is one number, 90W a number and a unit
MORE_WORDS = 100  # that an answer may say around what was wanted


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
            return (
                "Right when the answer contains what you wanted, whatever else it says in at most "
                f"{MORE_WORDS} words more."
            )
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

    def best_constant(self, answers: Sequence[str]) -> str:
        """The commonest answer. Where an answer may say more, as many as it may say."""
        if not self.settings["within"]:
            return next(iter(commonest_answers(answers, 1)), "")
        room, said = MORE_WORDS, []
        for text in commonest_answers(answers, MORE_WORDS):
            room -= len(_WORD.findall(text))
            if room < 0:
                break
            said.append(text)
        return "; ".join(said)

    def fields(self, answer: str, wanted: str) -> FieldPair | None:
        """Its "key: value" lines, where the wanted answer has some; those that must match."""
        wanted_lines = parse_key_lines(self._normalised(wanted))
        if self.settings["within"] or not wanted_lines:
            return None
        names = self._names(wanted_lines)
        target = _fields_of(wanted_lines, names)
        if self.check(answer, wanted).passed:
            return FieldPair(target, target)
        free = {key for key, _ in wanted_lines} - names  # may hold anything
        got = parse_key_lines(self._normalised(answer)) or []
        return FieldPair(_fields_of(got, {key for key, _ in got} - free), target)

    def label(self, text: str) -> str | None:
        return None if self.settings["within"] else self._normalised(text)

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
        words, sought_words = (_WORD.findall(text.casefold()) for text in (answer, wanted))
        given, sought = (f" {' '.join(found)} " for found in (words, sought_words))
        if not sought.strip():
            return Score(False, 0.0, "There is no wanted answer")
        if len(words) - len(sought_words) > MORE_WORDS:  # a list of everything is no answer
            return Score(False, 0.0, f"Says too much: {len(words):,} words")
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


def _fields_of(lines: Lines, names: set[str]) -> Fields:
    return Counter(Field(key, "", value) for key, value in lines if key in names)
