"""The types that the computation of a verdict and its sentences share."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from finetune_app.evaluation.verdict.limits import TIE_WITHIN
from finetune_app.evaluation.verdict.statistics import Interval

Level = Literal[
    "consistently_better",
    "better_on_average",
    "not_better_than_trivial",
    "too_few_to_tell",
    "no_difference",
    "worse",
]
GeneralLevel = Literal["green", "amber", "red", "unchanged"]
Versus = Literal["better", "not_better", "unclear"]
# Why it is too early to tell: it could be chance; whether an answer that needs no model is beaten
# is open; counts and scores disagree; it would be enough had the prompts not been seen so often.
OpenQuestion = Literal["chance", "trivial", "mixed", "seen_too_often"]
TrivialBaseline = Literal[
    "repeat",
    "commonest",
    "constant",
    "constant_repeat",
    "nearest_words",
    "nearest_meaning",
    "rules",
]

BETTER_LEVELS: tuple[Level, ...] = ("consistently_better", "better_on_average")
# How much a level claims: nothing, where there is neither better nor worse.
CLAIMS: dict[Level, int] = {
    "consistently_better": 2,
    "better_on_average": 1,
    "not_better_than_trivial": 0,
    "too_few_to_tell": 0,
    "no_difference": 0,
    "worse": -1,
}


@dataclass(frozen=True)
class PairedOutcome:
    """Two candidates on one prompt: +1 where the second did better, 0 the same, -1 worse.

    `gain` is the difference of graded scores, where the measure grades. `group` identifies prompts
    that are not independent (of one thread or document); None stands alone.
    """

    sign: int
    gain: float | None = None
    group: Hashable | None = None

    @classmethod
    def of_passes(cls, base: bool, ours: bool, group: Hashable | None = None) -> PairedOutcome:
        """Compare right and wrong: both right and both wrong are ties."""
        return cls(int(ours) - int(base), None, group)

    @classmethod
    def of_scores(
        cls,
        base: float,
        ours: float,
        group: Hashable | None = None,
        tie_within: float = TIE_WITHIN,
    ) -> PairedOutcome:
        """Compare graded scores between 0 and 1. Raises ValueError for NaN or infinity."""
        gain = float(ours) - float(base)
        if not math.isfinite(gain):
            raise ValueError("scores must be finite numbers")
        sign = 0 if abs(gain) <= tie_within else (1 if gain > 0 else -1)
        return cls(sign, gain, group)


@dataclass(frozen=True)
class TrivialResult:
    """Ours against the trivial baseline that comes nearest to it (or is ahead of it)."""

    baseline: TrivialBaseline
    versus: Versus
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Verdict:
    """The verdict, the numbers behind it and its sentences.

    `interval` is the Wilson interval of the win rate among the decided prompts, `gain_interval`
    that of (wins - losses) / all, `mean_gain` that of the mean difference of graded scores.
    `versus_prompt` compares with the base model given a good prompt, `trivial` with answers that
    need no model; None where they were not scored. `held_back`: the answers to today's prompts
    alone would claim more than those to all on which results were seen (computation.held_to).
    """

    level: Level
    headline: str
    sentence: str
    rarity: str
    wins: int
    ties: int
    losses: int
    p_value: float
    interval: Interval
    gain_interval: Interval
    mean_gain: Interval | None = None
    more_prompts_needed: int | None = None
    notes: tuple[str, ...] = ()
    versus_prompt: Versus | None = None
    trivial: TrivialResult | None = None
    held_back: bool = False

    @property
    def better(self) -> bool:
        return self.level in BETTER_LEVELS


class StoredTrivialResult(TypedDict):
    """A TrivialResult in JSON."""

    baseline: TrivialBaseline
    versus: Versus
    wins: int
    ties: int
    losses: int


class StoredVerdict(TypedDict):
    """A Verdict as `Evaluation.verdict` holds it in JSON."""

    level: Level
    headline: str
    sentence: str
    rarity: str
    wins: int
    ties: int
    losses: int
    p_value: float
    interval: list[float]
    gain_interval: list[float]
    mean_gain: list[float] | None
    more_prompts_needed: int | None
    notes: list[str]
    versus_prompt: Versus | None
    trivial: NotRequired[StoredTrivialResult | None]  # not in verdicts of earlier versions
    held_back: NotRequired[bool]  # neither
