"""The answer keeps rules: a length, how easy it is to read, words that must or must not occur."""

from __future__ import annotations

from collections.abc import Callable

from finetune_app.goals.measures.base import Measure, MeasureError, MeasureSettings, Score, Setting
from finetune_app.goals.measures.formatting import join_with_and, shortened, with_count
from finetune_app.goals.measures.readability import EASE, lix, sentences

FILLER = "…"  # a word that says nothing
SHORT_SENTENCE = "A."  # makes a text easier to read


class Rules(Measure):
    """Every rule that is set must hold. Phrases are plain text, never patterns."""

    kind = "rules"
    settings_schema = {
        "max_words": Setting("count", "At most this many words", None),
        "min_words": Setting("count", "At least this many words", None),
        "max_sentences": Setting("count", "At most this many sentences", None),
        "max_characters": Setting("count", "At most this many characters", None),
        "ease": Setting("choice", "As easy to read as", "anything", ("anything", *EASE)),
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
        self._most_lix = EASE.get(chosen["ease"])
        rules = {name: v for name, v in chosen.items() if name not in ("ignore_case", "ease")}
        if not any(rules.values()) and not self._most_lix:
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
        """The wanted phrases alone, and filler words as often as it takes."""
        fillings = ((FILLER, 0), *((SHORT_SENTENCE, more) for more in (0, 10, 100)))
        texts = (self._without_content(filler, more) for filler, more in fillings)
        return next((text for text in texts if self.check(text, "").passed), "")

    def _without_content(self, filler: str, more: int) -> str:
        """At least `more` filler words, around the phrases that the rules want."""
        chosen = self.settings
        ordered = [*chosen["order"], *(t for t in chosen["contains"] if t not in chosen["order"])]
        start = chosen["starts_with"].split()
        rest = " ".join([*ordered, chosen["ends_with"]]).split()
        fillers = [filler] * max((chosen["min_words"] or 1) - len(start) - len(rest), more)
        return " ".join([*start, *fillers, *rest])

    def _in_words(self, phrase: Callable[[str], str]) -> str:
        """All rules that are set, in words; `phrase` formats the texts in them."""
        chosen, parts = self.settings, []
        if chosen["min_words"]:
            parts.append(f"at least {with_count(chosen['min_words'], 'word')}")
        if chosen["max_words"]:
            parts.append(f"at most {with_count(chosen['max_words'], 'word')}")
        for unit in ("sentence", "character"):
            if most := chosen[f"max_{unit}s"]:
                parts.append(f"at most {with_count(most, unit)}")
        if self._most_lix:
            parts.append(f"as easy to read as {chosen['ease']}")
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
        results = [*self._length(answer), *self._ease(answer), *self._phrases(answer)]
        broken = [why for why in results if why]
        if not broken:
            return Score(True, 1.0, "Keeps every rule")
        also = f" (and {with_count(len(broken) - 1, 'other rule')} broken)" if broken[1:] else ""
        return Score(False, 1 - len(broken) / len(results), broken[0] + also)

    def _length(self, answer: str) -> list[str]:
        """Return one entry for each rule: why it is broken, or an empty string."""
        words, results = len(answer.split()), []
        for unit, count in (
            ("word", words),
            ("sentence", sentences(answer)),
            ("character", len(answer.strip())),
        ):
            if limit := self.settings[f"max_{unit}s"]:
                long = f"Too long: {with_count(count, unit)}, at most {limit:,}"
                results.append(long if count > limit else "")
        if limit := self.settings["min_words"]:
            results.append(
                f"Too short: {with_count(words, 'word')}, at least {limit}" if words < limit else ""
            )
        return results

    def _ease(self, answer: str) -> list[str]:
        if not self._most_lix:
            return []
        value = lix(answer)
        hard = f"Too hard to read: {value:.0f}, at most {self._most_lix} (LIX)"
        return [hard if value > self._most_lix else ""]

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
