"""The statistics behind a verdict: small samples, paired answers, no assumption of normality.

Plain numbers in, plain numbers out. "Decided" means not tied. scipy is imported where it is used:
every process imports this file, and most need none of it (70 MB, half a second).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finetune_app.evaluation.verdict.limits import ALPHA, CONFIDENCE

MAX_DECIDED = 10_000  # beyond, collecting more prompts is not useful advice


class Interval(NamedTuple):
    """A lower and an upper bound."""

    low: float
    high: float


class Split(NamedTuple):
    """How many prompts (or groups of prompts) were won, tied and lost."""

    wins: int
    ties: int
    losses: int

    @property
    def total(self) -> int:
        return sum(self)

    @property
    def decided(self) -> int:
        return self.wins + self.losses


def sign_test(wins: int, losses: int) -> float:
    """Return the exact two-sided p-value of the sign test (for pass/fail: exact McNemar).

    The probability that a fair coin gives a split at least this lopsided; 1 with nothing decided.
    """
    from scipy.stats import binom

    if wins < 0 or losses < 0:
        raise ValueError("wins and losses cannot be negative")
    return float(min(1.0, 2 * binom.cdf(min(wins, losses), wins + losses, 0.5)))


def fisher_exact(hits: int, total: int, other_hits: int, other_total: int) -> float:
    """Return the one-sided p-value of Fisher's exact test.

    The probability that chance alone puts at least so many of all hits among these `total`.
    """
    from scipy.stats import hypergeom

    if not (0 <= hits <= total and 0 <= other_hits <= other_total):
        raise ValueError("hits must lie between 0 and their total")
    return float(hypergeom.sf(hits - 1, total + other_total, hits + other_hits, total))


def wilson(successes: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the Wilson score interval of a proportion; (0, 1) for a total of 0."""
    if not 0 <= successes <= total:
        raise ValueError("successes must lie between 0 and total")
    if not total:
        return Interval(0.0, 1.0)
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    share = successes / total
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = (z2 * (share * (1 - share) / total + z2 / (4 * total**2))) ** 0.5 / (1 + z2 / total)
    # At the ends the exact bounds are 0 and 1; rounding must not move them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return Interval(low, 1.0 if successes == total else min(1.0, centre + half))


def net_gain_interval(split: Split, confidence: float = CONFIDENCE) -> Interval:
    """Return Tango's score interval of (wins - losses) / total, from -1 to 1.

    Tango 1998, Statistics in Medicine 17:891. It keeps its coverage with few or no decided
    prompts, where the normal approximation gives an interval of no width.
    """
    n, wins, losses = split.total, split.wins, split.losses
    if not n:
        return Interval(-1.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)

    def score(gain: float) -> float:
        """Standardised distance between the observed and a true net gain of `gain`."""
        b = -wins - losses + (2 * n - wins + losses) * gain
        c = -losses * gain * (1 - gain)
        share = (max(b * b - 8 * n * c, 0.0) ** 0.5 - b) / (4 * n)
        variance = n * (2 * share + gain * (1 - gain))
        return float((wins - losses - n * gain) / max(variance, 1e-300) ** 0.5)

    seen, edge = (wins - losses) / n, 1 - 1e-12
    low = -1.0 if wins - losses == -n else _root(lambda g: score(g) - z, -edge, seen)
    high = 1.0 if wins - losses == n else _root(lambda g: score(g) + z, seen, edge)
    return Interval(low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-10))


def paired_bootstrap(
    differences: Sequence[float],
    groups: Sequence[Hashable | None] | None = None,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = 5_000,
    seed: int = 17,
) -> Interval:
    """Return the bootstrap interval of the mean of paired differences.

    The expanded percentile interval (Hesterberg 2015, The American Statistician 69:371): its tails
    are those of Student's t, else it would be too narrow for a few dozen differences.

    With `groups` (one a difference), whole groups are resampled, because rows that share a source
    are correlated (Miller 2024, arXiv 2411.00640). The same seed gives the same interval.
    """
    values = np.asarray(differences, dtype=float)
    if not values.size:
        raise ValueError("a bootstrap needs at least one difference")
    labels = range(values.size) if groups is None else own_groups(groups)
    index: dict[Hashable, int] = {}
    where = np.array([index.setdefault(label, len(index)) for label in labels])
    sums = np.bincount(where, weights=values).astype(np.float64)
    sizes = np.bincount(where).astype(np.float64)
    means = _resampled_means(sums, sizes, resamples, np.random.default_rng(seed))
    tail = _expanded_tail((1 - confidence) / 2, len(index))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _expanded_tail(tail: float, groups: int) -> float:
    from scipy.stats import t

    if groups < 2:
        return tail
    return NormalDist().cdf(-float(t.isf(tail, groups - 1)) * (groups / (groups - 1)) ** 0.5)


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], resamples: int, draw: np.random.Generator
) -> NDArray[np.float64]:
    """Draw groups with replacement, in batches that fit in memory: one mean for each resample."""
    means: list[NDArray[np.float64]] = []
    batch = max(1, 1_000_000 // len(sums))
    for start in range(0, resamples, batch):
        picks = draw.integers(0, len(sums), size=(min(batch, resamples - start), len(sums)))
        means.append(sums[picks].sum(axis=1) / sizes[picks].sum(axis=1))
    return np.concatenate(means)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for multiple comparisons (Holm 1979), in the given order."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


@lru_cache(maxsize=512)
def decided_needed(win_rate: float, wanted_power: float = 0.8, alpha: float = ALPHA) -> int | None:
    """Return the number of decided prompts from which on the sign test has this power.

    The exact test's power rises in a sawtooth: a size may reach it and the next one miss it again.
    None when more than MAX_DECIDED would be needed.
    """
    from scipy.special import bdtrc

    if not 0.5 < win_rate <= 1:
        return None
    sizes, critical = _critical_table(alpha)
    powers = bdtrc(critical - 1, sizes, win_rate)
    short = np.flatnonzero(powers < wanted_power)
    needed = int(sizes[short[-1]]) + 1 if short.size else 1
    return needed if needed <= MAX_DECIDED else None


@lru_cache(maxsize=512)
def detectable_win_rate(
    decided: int, wanted_power: float = 0.8, alpha: float = ALPHA
) -> float | None:
    """Return the smallest share of wins that the sign test finds with this power.

    None when even winning all of so few would not be significant.
    """
    from scipy.special import bdtrc

    critical = int(_critical_wins(np.array([max(decided, 1)]), alpha)[0])
    if critical > decided:
        return None
    return _root(lambda rate: bdtrc(critical - 1, decided, rate) - wanted_power, 0.5, 1.0)


@lru_cache(maxsize=4)
def _critical_table(alpha: float) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the sizes 1 to MAX_DECIDED and the fewest wins each needs; cached."""
    sizes = np.arange(1, MAX_DECIDED + 1)
    return sizes, _critical_wins(sizes, alpha)


def _critical_wins(decided: NDArray[np.int_], alpha: float) -> NDArray[np.int_]:
    """Return, for each size, the fewest wins whose two-sided p is at most alpha."""
    from scipy.stats import binom

    wins = binom.isf(alpha / 2, decided, 0.5).astype(int) + 1
    # isf finds the last count whose upper tail is at most alpha / 2; rounding may leave it one off.
    too_high = 2 * binom.sf(wins - 2, decided, 0.5) <= alpha
    return np.asarray(np.where(too_high, wins - 1, wins), dtype=np.int_)


def own_groups(groups: Iterable[Hashable | None]) -> list[Hashable]:
    """The groups, and one of its own for each None."""
    return [("alone", at) if one is None else ("group", one) for at, one in enumerate(groups)]


def by_group(signs: Sequence[int], groups: Sequence[Hashable | None]) -> Split:
    """Count each group once, by the sum of its signs; None stands alone.

    Rows of one source tend to agree, so counting each of them would overstate the evidence.
    """
    sums: dict[Hashable, int] = {}
    for sign, group in zip(signs, own_groups(groups), strict=True):
        sums[group] = sums.get(group, 0) + sign
    return split_of(list(sums.values()))


def split_of(signs: Sequence[float]) -> Split:
    """Count what is above, at and below zero."""
    return Split(
        sum(sign > 0 for sign in signs),
        sum(sign == 0 for sign in signs),
        sum(sign < 0 for sign in signs),
    )
