"""Which way is enough? Several candidates on the same prompts, and the one sentence that follows.

The burden of proof lies on effort: the simplest way is recommended unless another one is proven
better. All pairs are tested, so Holm's correction is over all pairs (Holm 1979, Scandinavian
Journal of Statistics 6:65): with nothing between them, something is called better in at most one
comparison of twenty, however many ways take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from finetune_app.evaluation.statistics import (
    ALPHA,
    net_gain_interval,
    sign_test,
    split_of,
)
from finetune_app.evaluation.verdict import NO_DIFFERENCE, Outcome

Found = Literal["none_works", "base_is_enough", "enough", "worth_it", "too_close"]
GOOD = 0.5  # of the prompts right: below, even the best way is not to be relied on


@dataclass(frozen=True)
class Standing:
    """How one way did: its score at each prompt (1 and 0 where there is right and wrong).

    `effort` orders the ways from the least work to the most; `name` is what it is called in a
    sentence ("a good prompt").
    """

    name: str
    effort: tuple[int, int]
    scores: tuple[float, ...]
    graded: bool = False

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores) if self.scores else 0.0

    @property
    def result(self) -> str:
        """Said in a sentence: "51 of 60", or points of 100."""
        if self.graded:
            return f"{100 * self.mean:.0f} of 100 points"
        return f"{sum(self.scores):.0f} of {len(self.scores)}"


@dataclass(frozen=True)
class Conclusion:
    """`chosen` is the place of the recommended way among the standings; -1 where none works."""

    found: Found
    chosen: int
    sentence: str


def conclude(standings: Sequence[Standing]) -> Conclusion | None:
    """The simplest way that no other is proven better than. None with nothing to compare."""
    if len(standings) < 2 or not standings[0].scores:
        return None
    places = sorted(range(len(standings)), key=lambda at: standings[at].effort)
    beaten = proven(standings)
    chosen = next(at for at in places if not any((other, at) in beaten for other in places))
    best = max(places, key=lambda at: standings[at].mean)  # the simplest of equals: max is stable
    if not standings[best].mean:
        return Conclusion("none_works", -1, _none_works(standings))
    found, sentence = _say(standings, places, chosen, best, beaten)
    if standings[best].mean < GOOD:
        sentence += f" But even the best is right on only {standings[best].result}."
    return Conclusion(found, chosen, sentence)


def proven(standings: Sequence[Standing]) -> set[tuple[int, int]]:
    """Pairs (better, worse) that are no chance, by Holm over all pairs."""
    pairs = []
    for one, other in combinations(range(len(standings)), 2):
        split = split_of([o.sign for o in outcomes(standings[other], standings[one])])
        order = (one, other) if split.wins > split.losses else (other, one)
        pairs.append((sign_test(split.wins, split.losses), order))
    found = set()
    for rank, (p_value, order) in enumerate(sorted(pairs)):
        if p_value * (len(pairs) - rank) > ALPHA:
            break
        if standings[order[0]].mean > standings[order[1]].mean:  # counted and scored alike
            found.add(order)
    return found


def outcomes(base: Standing, ours: Standing) -> list[Outcome]:
    of = Outcome.of_scores if ours.graded else lambda a, b: Outcome.of_passes(bool(a), bool(b))
    return [of(a, b) for a, b in zip(base.scores, ours.scores, strict=True)]


def _say(
    standings: Sequence[Standing],
    places: list[int],
    chosen: int,
    best: int,
    beaten: set[tuple[int, int]],
) -> tuple[Found, str]:
    winner, ahead = standings[chosen], standings[best]
    less = [at for at in places[: places.index(chosen)] if (chosen, at) in beaten]
    name = _capital(winner.name)
    if chosen != best and not _no_further(standings, chosen, best):
        return "too_close", (
            f"{_capital(ahead.name)} comes to {ahead.result}, {winner.name} to {winner.result}: "
            f"that could be chance. Keep to {winner.name}, which takes less work, until more test "
            "prompts settle it."
        )
    if not less:
        return "base_is_enough", f"{name} is enough: {winner.result}, and nothing did better."
    other = standings[max(less, key=lambda at: standings[at].mean)]
    beside = f"{winner.result}, where {other.name} gets {other.result}"
    if chosen != places[-1]:
        return "enough", (
            f"{name} is enough: {beside}. Nothing that takes more work did certainly better."
        )
    return "worth_it", f"{name} is worth the work: {beside}. A difference like this is no chance."


def _no_further(standings: Sequence[Standing], chosen: int, best: int) -> bool:
    """Whether the best is certainly no more than a little ahead of the chosen."""
    if standings[chosen].mean >= standings[best].mean:
        return True
    split = split_of([o.sign for o in outcomes(standings[chosen], standings[best])])
    return net_gain_interval(split).high <= NO_DIFFERENCE


def _none_works(standings: Sequence[Standing]) -> str:
    ways = "either" if len(standings) == 2 else "any of them"
    return (
        f"Not one prompt was answered right by {ways}. A larger base model, or clearer examples "
        "of what you want, help more than another method."
    )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
