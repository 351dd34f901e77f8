"""Recommends a method from the scores of several candidates on the same prompts.

The simplest method is recommended unless another one is significantly better. All pairs are tested
with Holm's correction (Holm 1979, Scandinavian Journal of Statistics 6:65), which keeps the
family-wise error rate at 5 % however many methods take part.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from finetune_app.evaluation.verdict.limits import (
    FIRST_LOOK_AT_TRIVIAL,
    NO_DIFFERENCE,
    spent_at,
)
from finetune_app.evaluation.verdict.statistics import (
    Split,
    by_group,
    holm,
    net_gain_interval,
    sign_test,
)
from finetune_app.evaluation.verdict.types import PairedOutcome

Finding = Literal[
    "none_works", "trivial", "base_is_enough", "enough", "worth_it", "too_close", "changed"
]
RELIABLE = 0.5  # of the prompts right: below, even the best method cannot be relied on


@dataclass(frozen=True)
class MethodScores:
    """One method's score at each prompt (1 and 0 where there is right and wrong).

    `effort` orders the methods from the least work to the most; `name` is its name in a sentence
    ("a good prompt"). `groups` has that of each prompt, where some share one.
    """

    name: str
    effort: tuple[int, int]
    scores: tuple[float, ...]
    graded: bool = False
    groups: tuple[Hashable | None, ...] | None = None

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores) if self.scores else 0.0

    @property
    def result(self) -> str:
        """For a sentence: "51 of 60", or "85 of 100 points"."""
        if self.graded:
            return f"{100 * self.mean:.0f} of 100 points"
        return f"{sum(self.scores):.0f} of {len(self.scores)}"


@dataclass(frozen=True)
class Recommendation:
    """`chosen` is the index of the recommended method; -1 where none works."""

    found: Finding
    chosen: int
    sentence: str


def recommend(
    methods: Sequence[MethodScores], trivial: Sequence[MethodScores] = (), looks: int = 1
) -> Recommendation | None:
    """Recommend the simplest method that no other is significantly better than, if it beats each
    of the `trivial` ones, whose answers need no model.

    `looks` says how often results on these prompts were seen: the more, the rarer a difference has
    to be. None with fewer than two methods, or without scores.
    """
    if len(methods) < 2 or not methods[0].scores:
        return None
    by_effort = sorted(range(len(methods)), key=lambda at: methods[at].effort)
    beaten = significant_pairs(methods, 2 * spent_at(looks))
    chosen = next(at for at in by_effort if not any((o, at) in beaten for o in by_effort))
    best = max(by_effort, key=lambda at: methods[at].mean)  # the simplest of equals: max is stable
    if not methods[best].mean:
        return Recommendation("none_works", -1, _none_works(methods))
    unbeaten = [one for one in trivial if not _beats(methods[chosen], one, looks)]
    if unbeaten:
        return Recommendation("trivial", -1, _trivial(methods[best], unbeaten))
    found, sentence = _explain(methods, by_effort, chosen, best, beaten)
    if methods[best].mean < RELIABLE:
        sentence += f" But even the best is right on only {methods[best].result}."
    return Recommendation(found, chosen, sentence)


def held_back(recommendation: Recommendation | None) -> Recommendation | None:
    """That of a test whose verdict does not hold with results on prompts that were removed or
    changed after they had been seen. That nothing is needed may still be said."""
    if recommendation is None or recommendation.found in (
        "none_works",
        "trivial",
        "base_is_enough",
    ):
        return recommendation
    return Recommendation(
        "changed",
        -1,
        "None can be recommended yet: test prompts were removed or changed after results on them "
        "had been seen, and with those it looks different. Fresh test prompts would settle it.",
    )


def significant_pairs(methods: Sequence[MethodScores], alpha: float) -> set[tuple[int, int]]:
    """The (better, worse) pairs with a significant difference, corrected over all pairs."""
    pairs, p_values = [], []
    for one, other in combinations(range(len(methods)), 2):
        split = counted(methods[other], methods[one])
        pairs.append((one, other) if split.wins > split.losses else (other, one))
        p_values.append(sign_test(split.wins, split.losses))
    return {
        (better, worse)
        for (better, worse), p_value in zip(pairs, holm(p_values), strict=True)
        # The count of prompts and the mean score must agree.
        if p_value <= alpha and methods[better].mean > methods[worse].mean
    }


def counted(base: MethodScores, ours: MethodScores) -> Split:
    """How often ours did better, the same and worse; prompts of one group count once."""
    compare = (
        PairedOutcome.of_scores
        if ours.graded
        else lambda a, b: PairedOutcome.of_passes(bool(a), bool(b))
    )
    signs = [compare(a, b).sign for a, b in zip(base.scores, ours.scores, strict=True)]
    return by_group(signs, ours.groups or [None] * len(signs))


def _explain(
    methods: Sequence[MethodScores],
    by_effort: list[int],
    chosen: int,
    best: int,
    beaten: set[tuple[int, int]],
) -> tuple[Finding, str]:
    winner, ahead = methods[chosen], methods[best]
    easier = [at for at in by_effort[: by_effort.index(chosen)] if (chosen, at) in beaten]
    name = _capitalised(winner.name)
    if chosen != best and not _nearly_equal(methods, chosen, best):
        return "too_close", (
            f"{_capitalised(ahead.name)} gets {ahead.result}, {winner.name} {winner.result}: "
            f"{_chance(winner)}. Stay with {winner.name}, which takes less work, until more "
            "test prompts settle it."
        )
    if not easier:
        return "base_is_enough", f"{name} is enough: {winner.result}, and nothing did better."
    other = methods[max(easier, key=lambda at: methods[at].mean)]
    compared = f"{winner.result}, where {other.name} gets {other.result}"
    if chosen != by_effort[-1]:
        return "enough", (
            f"{name} is enough: {compared}. Nothing that takes more work was clearly better."
        )
    return "worth_it", (
        f"{name} is worth the work: {compared}. Chance does not explain a difference like this."
    )


def _chance(method: MethodScores) -> str:
    groups = method.groups or ()
    count = len(set(groups) - {None}) + groups.count(None)
    if count < len(groups):
        return f"the prompts belong to {count} groups, so that could be chance"
    return "that could be chance"


def _beats(method: MethodScores, trivial: MethodScores, looks: int) -> bool:
    split = counted(trivial, method)
    one_sided = sign_test(split.wins, split.losses) / 2  # only whether it is better is asked
    enough = one_sided <= spent_at(looks, FIRST_LOOK_AT_TRIVIAL)
    significant = split.wins > split.losses and enough
    return significant and method.mean > trivial.mean


def _trivial(best: MethodScores, unbeaten: Sequence[MethodScores]) -> str:
    other = max(unbeaten, key=lambda one: one.mean)
    if best.mean > other.mean:
        means = "That could be chance; more test prompts would settle it."
    else:
        means = "Either nothing has learned the task, or the measure does not measure it."
    return (
        f"None can be recommended yet: {other.name} needs no model and gets {other.result}, where "
        f"{best.name} gets {best.result}. {means}"
    )


def _nearly_equal(methods: Sequence[MethodScores], chosen: int, best: int) -> bool:
    """Whether the best method is ahead of the chosen one by a negligible margin at most."""
    if methods[chosen].mean >= methods[best].mean:
        return True
    split = counted(methods[chosen], methods[best])
    return net_gain_interval(split).high <= NO_DIFFERENCE


def _none_works(methods: Sequence[MethodScores]) -> str:
    which = "either method" if len(methods) == 2 else "any method"
    return (
        f"Not one prompt was answered correctly by {which}. A larger base model, or clearer "
        "examples of what you want, will help more than another method."
    )


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]
