"""The answer lists the right things, in any order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from finetune_app.goals.measures.base import AS_WANTED, Measure, Score, Setting
from finetune_app.goals.measures.field_scores import Field, FieldPair, Fields, partial_value
from finetune_app.goals.measures.formatting import join_with_and, shortened, with_count

_BULLET = re.compile(r"(?:[-*•–]|\d{1,4}+[.)])[ \t]++")
_SEPARATORS = {"lines": re.compile(r"\n"), "commas": re.compile(r"[,;\n]")}
_AROUND = " \t\r\"'“”‘’`.,;"
MOST_NAMED = 3  # in the label below an answer
MOST_CONSTANT = 20  # items of an answer that is the same for every question


class Items(Measure):
    """A set of items, one a line or between commas; graded by F1 over the items.

    Bullets, numbers in front, quotes and a full stop at the end do not count, nor does an item that
    is repeated.
    """

    kind = "items"
    graded = True
    settings_schema = {
        "separator": Setting("choice", "The items are separated by", "lines", ("lines", "commas")),
        "ignore_case": Setting("switch", "Treat capital and small letters alike", True),
    }

    def summary(self) -> str:
        where = "one a line" if self.settings["separator"] == "lines" else "between commas"
        return (
            f"Right when the answer lists the things you wanted, {where}, in any order. One "
            "that is partly right gets points for what it found, and fewer for what it made up."
        )

    def instruction(self) -> str:
        if self.settings["separator"] == "lines":
            return "Answer with the list alone, one item a line: no introduction, no explanation."
        return "Answer with the list alone, with commas between: no introduction, no explanation."

    def best_constant(self, answers: Sequence[str]) -> str:
        """The items that most answers have: as many as score best."""
        counts: Counter[str] = Counter()
        spelling: dict[str, str] = {}
        for answer in answers:
            for item, text in self._items(answer).items():
                counts[item] += 1
                spelling.setdefault(item, text)
        common = [spelling[item] for item, _count in counts.most_common(MOST_CONSTANT)]
        between = "\n" if self.settings["separator"] == "lines" else ", "
        first_ones = [between.join(common[: n + 1]) for n in range(len(common))]
        return self._best_of(first_ones, answers) or super().best_constant(answers)

    def fields(self, answer: str, wanted: str) -> FieldPair:
        return FieldPair(_fields_of(self._items(answer)), _fields_of(self._items(wanted)))

    def _check(self, answer: str, wanted: str) -> Score:
        if not answer.strip():
            return Score(False, 0.0, "Empty answer")
        got, target = self._items(answer), self._items(wanted)
        missing = [text for item, text in target.items() if item not in got]
        extra = [text for item, text in got.items() if item not in target]
        if not missing and not extra:
            return AS_WANTED
        value = partial_value(self.fields(answer, wanted))
        return Score(False, value, _what_is_wrong(missing, extra))

    def _items(self, text: str) -> dict[str, str]:
        """Each different item as it is compared, with its spelling."""
        found: dict[str, str] = {}
        for item in split_items(text, self.settings["separator"]):
            found.setdefault(item.casefold() if self.settings["ignore_case"] else item, item)
        return found


def split_items(text: str, separator: str) -> list[str]:
    """The items of a list, without bullets, quotes and what else stands around them."""
    items = []
    for part in map(str.strip, _SEPARATORS[separator].split(text)):
        bullet = _BULLET.match(part)
        item = " ".join(part[bullet.end() if bullet else 0 :].strip(_AROUND).split())
        items += [item] if item else []
    return items


def _fields_of(items: dict[str, str]) -> Fields:
    return Counter(Field("list", "", item) for item in items)


def _what_is_wrong(missing: list[str], extra: list[str]) -> str:
    if missing and extra:
        return f"{with_count(len(missing), 'item')} missing, {len(extra):,} not wanted"
    names = missing or extra
    word = "missing" if missing else "not wanted"
    if len(names) > MOST_NAMED:
        return f"{with_count(len(names), 'item')} {word}"
    return f"{join_with_and([f'“{shortened(name)}”' for name in names])} {word}"
