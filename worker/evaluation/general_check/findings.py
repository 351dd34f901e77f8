"""The numbers of the general check, and the level and sentence that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from finetune_app.evaluation.verdict.limits import ALPHA
from finetune_app.evaluation.verdict.statistics import sign_test

Level = Literal["green", "amber", "red"]

# There are no published thresholds. These were calibrated on the base model itself and on
# over-trained adapters of the starter model: docs/benchmarks/general-check.md.
PERPLEXITY_GREEN, PERPLEXITY_AMBER = 1.05, 1.20
COLLAPSE_GREEN, COLLAPSE_AMBER = 0.02, 0.05
# One strange answer of a dozen is already 8 %, so red takes at least two.
STRANGE_RED = 2
# Instructions, and repetitive answers (which a small base model gives too), are compared in pairs
# by the exact sign test, as the task's own answers are.
LOST_AMBER = 3  # net prompts lost, where it may be chance

ORDER: tuple[Level, ...] = ("green", "amber", "red")


@dataclass(frozen=True)
class GeneralFindings:
    """Numbers of one adapter against its base model.

    perplexity_ratio: tuned over base, on general text.
    lost, gained: instructions followed by the base model only, by the tuned one only.
    strange: answers to the `unrelated` everyday prompts that are empty, in the task's form or of
        an extreme length, where the base model's was not.
    circling: answers that repeat themselves where the base model's did not; uncircled: the reverse.
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
        """The level of each of the three checks."""
        return {
            "perplexity": _within(self.perplexity_ratio, PERPLEXITY_GREEN, PERPLEXITY_AMBER),
            "instructions": paired_level(self.lost, self.gained),
            "collapse": max(
                self._strange(), paired_level(self.circling, self.uncircled), key=ORDER.index
            ),
        }

    @property
    def level(self) -> Level:
        """The worst of the three."""
        return max(self.levels.values(), key=ORDER.index)

    @property
    def sentence(self) -> str:
        """The result in words. Never claims that nothing was lost, because the check is small."""
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
        degenerate = self.strange + self.circling
        if degenerate == 0:
            return f"None of its answers to {self.unrelated} everyday questions fell apart."
        return (
            f"{degenerate} of its answers to {self.unrelated} everyday questions were empty, went "
            "round in circles, or came out in the form of your task, where the base model's were "
            "in order."
        )


def paired_level(lost: int, gained: int) -> Level:
    """Red where more is lost than chance would lose, amber where it may be chance."""
    if lost > gained and sign_test(lost, gained) <= ALPHA:
        return "red"
    return "amber" if lost - gained >= LOST_AMBER else "green"


def _within(value: float, green: float, amber: float) -> Level:
    if value <= green:
        return "green"
    return "amber" if value <= amber else "red"
