"""The answer keeps rules: a length, words that must or must not occur, an order."""

from __future__ import annotations

from collections.abc import Callable

from finetune_app.goals.measures.base import Measure, MeasureError, MeasureSettings, Score, Setting
from finetune_app.goals.measures.formatting import join_with_and, shortened, with_count

FILLER = "…"  # a word that says nothing


class Rules(Measure):
    """Every rule that is set must hold. Phrases are plain text, never patterns."""

    kind = "rules"
    settings_schema = {
        "max_words": Setting("count", "At most this many words", None),
        "min_words": Setting("count", "At least this many words", None),
        "contains": Setting("list", "Must contain", []),
        "never_contains": Setting("list", "Must never contain", []),
        "order": Setting("list", "Must come in this order", []),
        "starts_with": Setting("text", "Must start with", ""),
        "ends_with": Setting("text", "Must end with", ""),
        "ignore_case": Setting("switch", "Treat capital and small letters alike", True),
    }

    def __init__(self, settings: MeasureSettings | None = None) -> None:
        super().__init__(settings)
        chosen = self.settings
        if not any(value for name, value in chosen.items() if name != "ignore_case"):
            raise MeasureError("Set at least one rule, such as “at most 20 words”.")
        if (
            chosen["min_words"]
            and chosen["max_words"]
            and (chosen["min_words"] > chosen["max_words"])
        ):
            raise MeasureError("“At least” is more words than “at most” allows.")
        both = {self._normalised(text) for text in chosen["contains"] + chosen["order"]} & {
            self._normalised(text) for text in chosen["never_contains"]
        }
        if both:
            raise MeasureError(f"“{shortened(min(both))}” cannot be both wanted and unwanted.")

    def summary(self) -> str:
        return f"Right when the answer keeps your rules: {self._in_words(shortened)}."

    def instruction(self) -> str:
        return f"Your answer keeps these rules: {self._in_words(str)}."

    def empty_pass(self) -> str:
        """The wanted phrases alone, and a filler word as often as it takes."""
        chosen = self.settings
        ordered = [*chosen["order"], *(t for t in chosen["contains"] if t not in chosen["order"])]
        start = chosen["starts_with"].split()
        rest = " ".join([*ordered, chosen["ends_with"]]).split()
        fillers = [FILLER] * ((chosen["min_words"] or 1) - len(start) - len(rest))
        text = " ".join([*start, *fillers, *rest])
        return text if self.check(text, "").passed else ""

    def _in_words(self, phrase: Callable[[str], str]) -> str:
        """All rules that are set, in words; `phrase` formats the texts in them."""
        chosen, parts = self.settings, []
        if chosen["min_words"]:
            parts.append(f"at least {with_count(chosen['min_words'], 'word')}")
        if chosen["max_words"]:
            parts.append(f"at most {with_count(chosen['max_words'], 'word')}")
        for name, words in (("contains", "contains"), ("never_contains", "never contains")):
            if chosen[name]:
                parts.append(f"{words} {join_with_and([f'“{phrase(t)}”' for t in chosen[name]])}")
        if chosen["order"]:
            order = ", ".join(f"“{phrase(text)}”" for text in chosen["order"])
            parts.append(f"in this order: {order}")
        for name, words in (("starts_with", "starts with"), ("ends_with", "ends with")):
            if chosen[name]:
                parts.append(f"{words} “{phrase(chosen[name])}”")
        return "; ".join(parts)

    def _check(self, answer: str, wanted: str) -> Score:
        if not answer.strip():
            return Score(False, 0.0, "Empty answer")
        results = [*self._length(answer), *self._phrases(answer)]
        broken = [why for why in results if why]
        if not broken:
            return Score(True, 1.0, "Keeps every rule")
        also = f" (and {with_count(len(broken) - 1, 'other rule')} broken)" if broken[1:] else ""
        return Score(False, 1 - len(broken) / len(results), broken[0] + also)

    def _length(self, answer: str) -> list[str]:
        """Return one entry for each rule: why it is broken, or an empty string."""
        words, results = len(answer.split()), []
        if limit := self.settings["max_words"]:
            results.append(
                f"Too long: {with_count(words, 'word')}, at most {limit}" if words > limit else ""
            )
        if limit := self.settings["min_words"]:
            results.append(
                f"Too short: {with_count(words, 'word')}, at least {limit}" if words < limit else ""
            )
        return results

    def _phrases(self, answer: str) -> list[str]:
        """Return one entry for each rule: why it is broken, or an empty string."""
        text, chosen = self._normalised(answer).strip(), self.settings
        results = [
            f"“{shortened(phrase)}” is missing" if self._normalised(phrase) not in text else ""
            for phrase in chosen["contains"]
        ]
        results += [
            f"Contains “{shortened(phrase)}”" if self._normalised(phrase) in text else ""
            for phrase in chosen["never_contains"]
        ]
        if chosen["order"]:
            results.append(self._out_of_order(text))
        if start := chosen["starts_with"]:
            right = text.startswith(self._normalised(start).strip())
            results.append("" if right else f"Does not start with “{shortened(start)}”")
        if end := chosen["ends_with"]:
            right = text.endswith(self._normalised(end).strip())
            results.append("" if right else f"Does not end with “{shortened(end)}”")
        return results

    def _out_of_order(self, text: str) -> str:
        at = 0
        for phrase in self.settings["order"]:
            found = text.find(self._normalised(phrase), at)
            if found < 0:
                somewhere = self._normalised(phrase) in text
                return f"“{shortened(phrase)}” is {'out of order' if somewhere else 'missing'}"
            at = found + len(self._normalised(phrase))
        return ""

    def _normalised(self, text: str) -> str:
        return text.casefold() if self.settings["ignore_case"] else text
