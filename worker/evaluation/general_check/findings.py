"""What the numbers of the general check add up to."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Literal

Level = Literal["green", "amber", "red"]

# There are no published thresholds. These were held against the base model itself and against
# over-trained adapters of the starter: docs/benchmarks/general-check.md.
PERPLEXITY_GREEN, PERPLEXITY_AMBER = 1.05, 1.20
COLLAPSE_GREEN, COLLAPSE_AMBER = 0.02, 0.05
# One odd answer of a dozen would already be 8%, so red takes at least two.
STRANGE_RED = 2
# Instructions, and answers that go round in circles (which a small base model does too), are
# compared in pairs by the exact sign test, as the task's own answers are.
SIGNIFICANT = 0.05
LOST_AMBER = 3  # net prompts lost, where chance cannot be excluded

ORDER: tuple[Level, ...] = ("green", "amber", "red")


@dataclass(frozen=True)
class Findings:
    """Numbers of one adapter against its base model.

    perplexity_ratio: tuned over base on general text. lost, gained: instructions followed
    by the base alone, by the tuned alone. strange: answers to `unrelated` everyday prompts that
    are empty, in the task's form or of a wild length, where the base's was not. circling: answers
    that go round in circles where the base's did not; uncircled: the other way about.
    """

    perplexity_ratio: float
    followed_base: int
    followed_tuned: int
    lost: int
    gained: int
    instructions: int
    strange: int
    circling: int
    uncircled: int
    unrelated: int

    @property
    def levels(self) -> dict[str, Level]:
        """A level for each of the three looks."""
        return {
            "perplexity": _within(self.perplexity_ratio, PERPLEXITY_GREEN, PERPLEXITY_AMBER),
            "instructions": _paired(self.lost, self.gained),
            "collapse": max(
                self._strange(), _paired(self.circling, self.uncircled), key=ORDER.index
            ),
        }

    @property
    def level(self) -> Level:
        """The worst of the three."""
        return max(self.levels.values(), key=ORDER.index)

    @property
    def sentence(self) -> str:
        """The finding in plain words. Never claims that nothing was lost: this is a small check."""
        opening = {
            "green": "No large loss of general ability found.",
            "amber": "Some general ability may have been lost.",
            "red": "General ability has been lost.",
        }[self.level]
        return (
            f"{opening} {self._text()} It follows {self.followed_tuned} of {self.instructions} "
            f"plain instructions (the base model: {self.followed_base}). {self._unrelated()}"
        )

    def _strange(self) -> Level:
        if 0 < self.strange < STRANGE_RED:
            return "amber"
        return _within(self.strange / self.unrelated, COLLAPSE_GREEN, COLLAPSE_AMBER)

    def _text(self) -> str:
        percent = round(100 * (self.perplexity_ratio - 1))
        if percent <= 0:
            return "Ordinary text is no harder for it to predict than for the base model."
        return f"Ordinary text is {percent}% harder for it to predict than for the base model."

    def _unrelated(self) -> str:
        fallen = self.strange + self.circling
        if fallen == 0:
            return f"None of its answers to {self.unrelated} everyday questions fell apart."
        return (
            f"{fallen} of its answers to {self.unrelated} everyday questions were empty, went "
            "round in circles, or came out in the form of your task, where the base model's were "
            "in order."
        )


def _paired(lost: int, gained: int) -> Level:
    if lost > gained and sign_test(lost, gained) <= SIGNIFICANT:
        return "red"
    return "amber" if lost - gained >= LOST_AMBER else "green"


def sign_test(lost: int, gained: int) -> float:
    """Exact two-sided p that a split this lopsided comes from chance; 1 when nothing differs."""
    n = lost + gained
    tail = sum(comb(n, k) for k in range(min(lost, gained) + 1)) / 2**n
    return min(1.0, 2 * tail)


def _within(value: float, green: float, amber: float) -> Level:
    if value <= green:
        return "green"
    return "amber" if value <= amber else "red"
