"""The answer holds the right number, exactly or within a tolerance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice

from finetune_app.goals.measures.base import AS_WANTED, Measure, Score, Setting
from finetune_app.goals.measures.typical_answers import commonest_answers, evenly

_NUMBER = re.compile(
    r"(?P<sign>(?<![\w.,])[-+−][€$£]?)?"
    r"(?P<digits>\d{1,3}(?:[ '’\u00a0\u202f]\d{3}(?!\d))+(?:[.,]\d++)?|\d[\d.,]*+|[.,]\d++)"
    r"(?P<power>[eE][-+]?\d{1,3}(?!\w))?",
    re.ASCII,
)
_SPACES = re.compile(r"[ '’\u00a0\u202f]")
MAX_DIGITS = 100  # more are no number that anybody means
MANY = 10  # numbers after which counting them says nothing more
MAX_UNIT_WORDS = 2
CANDIDATES, ROWS = 100, 200  # to find the number that would do for most answers


class Number(Measure):
    """One number, and no other beside it; words and units around it do not count.

    The tolerance is a difference, or with `unit` "percentage" a share of the wanted number.
    """

    kind = "number"
    settings_schema = {
        "tolerance": Setting("amount", "May be off by", 0.0),
        "unit": Setting("choice", "That is", "difference", ("difference", "percentage")),
        "decimal_comma": Setting("switch", "We write 1.234,5: decimals after a comma", False),
    }

    def summary(self) -> str:
        off = self.settings["tolerance"]
        if not off:
            return "Right when the answer holds the number you wanted, and no other number."
        by = f"{off:g} percent" if self.settings["unit"] == "percentage" else f"{off:g}"
        return f"Right when the answer holds one number, at most {by} away from the one you wanted."

    def instruction(self) -> str:
        return "Answer with the number alone: no explanation, no other number."

    def best_constant(self, answers: Sequence[str]) -> str:
        """A number that is close enough to as many of the wanted ones as can be."""
        numbers = sorted((read[0], one) for one in set(answers) if (read := self._read(one)))
        some = evenly([text for _number, text in numbers], CANDIDATES)
        return self._best_of([*commonest_answers(answers, 1), *some], answers, ROWS)

    def _check(self, answer: str, wanted: str) -> Score:
        target, found = self._read(wanted), self._read(answer)
        if len(target) != 1:
            return Score(False, 0.0, "The wanted answer is not one number")
        if not answer.strip():
            return Score(False, 0.0, "Empty answer")
        if not found:
            return Score(False, 0.0, "No number in it")
        if len(found) > 1:
            count = f"{MANY} or more" if len(found) >= MANY else f"{len(found)}"
            return Score(False, 0.0, f"{count} numbers instead of one")
        off = abs(found[0] - target[0])
        if found[0] == target[0]:
            return AS_WANTED
        if off <= self._allowed(target[0]):
            return Score(True, 1.0, f"Close enough: off by {off:.6g}")
        return Score(False, 0.0, f"Off by {off:.6g}")

    def _allowed(self, wanted: Decimal) -> Decimal:
        tolerance = Decimal(str(self.settings["tolerance"]))
        percent = self.settings["unit"] == "percentage"
        return tolerance / 100 * abs(wanted) if percent else tolerance

    def _read(self, text: str) -> list[Decimal]:
        return read_numbers(text, decimal_comma=self.settings["decimal_comma"])


def read_numbers(text: str, *, decimal_comma: bool = False) -> list[Decimal]:
    """The numbers of a text in order, at most ten.

    Where both separators occur in one, the last begins the decimals. "1,234" and "1.234" could be
    either: the first is above a thousand, or with `decimal_comma` the second.
    """
    return list(islice(_numbers(text, "," if decimal_comma else "."), MANY))


def is_number(text: str) -> bool:
    """Whether a text is one number, perhaps with a currency before it or a unit behind it."""
    text = text.strip().lstrip("€$£").lstrip()
    found = _NUMBER.match(text)
    if found is None or len(read_numbers(text)) != 1:
        return False
    is_code = text[:1] == "0" and text[1:2].isdigit()  # not an amount
    return not is_code and len(text[found.end() :].split()) <= MAX_UNIT_WORDS


def _numbers(text: str, point: str) -> Iterator[Decimal]:
    for match in _NUMBER.finditer(text):
        digits = _SPACES.sub("", match["digits"]).rstrip(".,")
        if len(digits) > MAX_DIGITS:
            continue
        plain = _with_decimal_point(digits, point)
        if plain is None:  # "3, 4" without its space, or a version such as 1.2.3
            yield from map(Decimal, re.findall(r"\d+", digits))
            continue
        sign = "-" if (match["sign"] or "")[:1] in ("-", "−") else ""
        yield Decimal(f"{sign}{plain}{match['power'] or ''}")


def _with_decimal_point(digits: str, point: str) -> str | None:
    """Digits with "." before the decimals and no other separator; None if they are several."""
    used = [one for one in digits if one in ".,"]
    if not used:
        return digits
    groups = re.split(r"[.,]", digits)
    in_thousands = 1 <= len(groups[0]) <= 3 and all(len(one) == 3 for one in groups[1:])
    if len(set(used)) == 2:
        whole, last = groups[:-1], groups[-1]
        in_thousands = len(whole[0]) <= 3 and all(len(one) == 3 for one in whole[1:])
        return f"{''.join(whole)}.{last}" if used.count(used[-1]) == 1 and in_thousands else None
    if len(used) > 1:
        return "".join(groups) if in_thousands else None
    ambiguous = in_thousands and groups[0] != "0"
    if ambiguous and used[0] != point:
        return "".join(groups)
    return ".".join(groups)
