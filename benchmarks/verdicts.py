"""Is the verdict honest? Simulated evaluations whose true difference is known.

    python -m benchmarks.verdicts

First, evaluations in which nothing differs: the share called "better" must be at most 5 %, also
when up to ten models are tested on the same prompts one after another. Then evaluations in which
75 % of the decided prompts are truly won: the share called "better" against the exact theory.
Prompts that share sources, counted by source and by prompt. Last, how often each 95 % interval
holds the truth.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.stats import binom

from finetune_app.evaluation.verdict.computation import compute_verdict
from finetune_app.evaluation.verdict.limits import ALPHA, spent_at
from finetune_app.evaluation.verdict.statistics import (
    Split,
    net_gain_interval,
    paired_bootstrap,
    sign_test,
    split_of,
    wilson,
)
from finetune_app.evaluation.verdict.types import PairedOutcome
from finetune_app.judging.grading import JudgedPair, Side

PROMPTS = (20, 60, 200)
TIE_RATES = (0.0, 0.3, 0.6, 0.9)
LOOKS = (1, 5, 10)
Chances = tuple[float, float, float]  # of a win, a tie and a loss
EQUAL: Chances = (0.35, 0.3, 0.35)
JUDGE_ERRS = 0.2  # how often a judge names a side by chance
SIDES: tuple[Side, ...] = ("second", "tie", "first")


@cache
def _better(wins: int, ties: int, losses: int, looks: int = 1, voted: bool = False) -> bool:
    """Whether the verdict says "better"; without groups it depends on the counts alone."""
    rows = [PairedOutcome(1)] * wins + [PairedOutcome(0)] * ties + [PairedOutcome(-1)] * losses
    return compute_verdict(rows, "green", looks, voted=voted).better


def false_alarms_over_looks(
    prompts: int, looks: int, *, judged_by: str, goals: int, seed: int
) -> float:
    """The share of goals in which one of so many models, none better than the base, is called
    better. Each is tested on the same prompts, at one look more than the one before."""
    draw = np.random.default_rng(seed)
    simulate = SIMULATIONS[judged_by]
    called = 0
    for _ in range(goals):
        called += any(simulate(draw, prompts, look) for look in range(1, looks + 1))
    return called / goals


def _passed_better(draw: np.random.Generator, prompts: int, look: int) -> bool:
    wins, ties, losses = (int(n) for n in draw.multinomial(prompts, EQUAL))
    return _better(wins, ties, losses, look)


def _voted_better(draw: np.random.Generator, prompts: int, look: int) -> bool:
    wins, ties, losses = (int(n) for n in draw.multinomial(prompts, EQUAL))
    return _better(wins, ties, losses, look, voted=True)


def _judge_prefers_ours(draw: np.random.Generator, prompts: int, look: int) -> bool:
    """A judge's opinion is no verdict, but each is a look at the same prompts as well."""
    wins, _ties, losses = _judged(draw, prompts, EQUAL)
    return wins > losses and sign_test(wins, losses) <= 2 * spent_at(look)


def _judged(draw: np.random.Generator, prompts: int, chances: Chances) -> Split:
    """What a judge that errs now and then, anew in each order, prefers on so many prompts."""
    truth = draw.choice(3, size=prompts, p=chances)
    orders = [
        np.where(draw.random(prompts) < JUDGE_ERRS, draw.integers(0, 3, prompts), truth)
        for _ in range(2)
    ]
    sides = [JudgedPair(SIDES[one], SIDES[other]).side for one, other in zip(*orders, strict=True)]
    return Split(sides.count("second"), sides.count("tie"), sides.count("first"))


def judge_chances(chances: Chances) -> Chances:
    """How often it names ours, neither and base in both orders; a contradiction is a tie."""
    right, wrong = 1 - JUDGE_ERRS * 2 / 3, JUDGE_ERRS / 3
    ours, tie, base = chances
    won = ours * right**2 + (tie + base) * wrong**2
    lost = base * right**2 + (tie + ours) * wrong**2
    return won, 1 - won - lost, lost


def _graded_better(draw: np.random.Generator, prompts: int, look: int) -> bool:
    """Scores of most prompts are close, of some far apart, as those of real answers."""
    scores = np.clip(draw.normal(0.5, draw.choice([0.05, 0.4], (prompts, 2))), 0, 1)
    rows = [PairedOutcome.of_scores(float(base), float(ours)) for base, ours in scores]
    split = split_of([row.sign for row in rows])
    if sign_test(split.wins, split.losses) > 2 * spent_at(look):
        return False  # the verdict asks for this first; its bootstrap takes long
    return compute_verdict(rows, "green", look).better


SIMULATIONS = {
    "pass or fail": _passed_better,
    "graded": _graded_better,
    "votes": _voted_better,
    "a judge": _judge_prefers_ours,
}


def coverage(prompts: int, *, evaluations: int, seed: int) -> dict[str, float]:
    """How often each 95 % interval holds the truth: of the win rate, the net gain, and the mean
    gain of graded scores."""
    draw = np.random.default_rng(seed)
    inside = dict.fromkeys(("win rate", "net gain", "mean gain"), 0)
    for _ in range(evaluations):
        rate, decided = draw.uniform(0.3, 0.9), draw.uniform(0.3, 0.9)
        won = int(draw.binomial(prompts, rate))
        inside["win rate"] += _holds(wilson(won, prompts), rate)
        chances = [decided * rate, 1 - decided, decided * (1 - rate)]
        split = Split(*(int(n) for n in draw.multinomial(prompts, chances)))
        inside["net gain"] += _holds(net_gain_interval(split), decided * (2 * rate - 1))
        gains = draw.beta(2, 4, prompts) - draw.beta(2, 5, prompts)
        inside["mean gain"] += _holds(paired_bootstrap(gains.tolist()), 2 / 6 - 2 / 7)
    return {name: count / evaluations for name, count in inside.items()}


def _holds(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


@cache
def power(decided: int, win_rate: float) -> float:
    """How often the sign test says "better" when each decided prompt is won at this rate."""
    enough = [
        w for w in range(decided + 1) if 2 * w > decided and sign_test(w, decided - w) <= ALPHA
    ]
    return float(binom.sf(enough[0] - 1, decided, win_rate)) if enough else 0.0


def false_alarms(
    prompts: int,
    tie_rate: float,
    *,
    evaluations: int,
    seed: int,
    sources: int | None = None,
    ignore_sources: bool = False,
) -> float:
    """The share of evaluations called better although both candidates are equally good.

    With `sources`, all prompts of a source have the same outcome, as rows of one thread tend to.
    """
    draw = np.random.default_rng(seed)
    chances = [(1 - tie_rate) / 2, tie_rate, (1 - tie_rate) / 2]
    called = 0
    for _ in range(evaluations):
        if sources is None:
            called += _better(*(int(n) for n in draw.multinomial(prompts, chances)))
            continue
        leanings = draw.choice([1, 0, -1], size=sources, p=chances)
        groups = [at % sources for at in range(prompts)]
        rows = [
            PairedOutcome(int(leanings[group]), None, None if ignore_sources else group)
            for group in groups
        ]
        called += compute_verdict(rows, "green").better
    return called / evaluations


def power_at(
    prompts: int,
    tie_rate: float,
    *,
    win_rate: float,
    evaluations: int,
    seed: int,
    judged_by: str = "pass or fail",
) -> tuple[float, float]:
    """The share called better when `win_rate` of the decided are won: simulated, and in theory."""
    draw = np.random.default_rng(seed)
    decided = 1 - tie_rate
    chances = (decided * win_rate, tie_rate, decided * (1 - win_rate))
    if judged_by == "a judge":
        splits = [_judged(draw, prompts, chances) for _ in range(evaluations)]
        won, _tie, lost = judge_chances(chances)
        decided, win_rate = won + lost, won / (won + lost)
    else:
        drawn = draw.multinomial(prompts, chances, size=evaluations)
        splits = [Split(*(int(n) for n in one)) for one in drawn]
    seen = sum(_better(*split) for split in splits) / evaluations
    theory = sum(
        float(binom.pmf(count, prompts, decided)) * power(count, win_rate)
        for count in range(prompts + 1)
    )
    return seen, theory


def main() -> None:
    print("No difference, 1,000 evaluations each: called better (at most 5 % allowed)\n")
    print("| prompts | " + " | ".join(f"{rate:.0%} ties" for rate in TIE_RATES) + " |")
    print("|---|" + "---|" * len(TIE_RATES))
    for prompts in PROMPTS:
        shares = [false_alarms(prompts, rate, evaluations=1_000, seed=17) for rate in TIE_RATES]
        print(f"| {prompts} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")

    print("\nThe same when several models are tested on the same prompts: any called better\n")
    print("| judged by | prompts | " + " | ".join(f"{n} tested" for n in LOOKS) + " |")
    print("|---|---|" + "---|" * len(LOOKS))
    for judged_by in SIMULATIONS:
        for prompts in PROMPTS:
            shares = [
                false_alarms_over_looks(prompts, looks, judged_by=judged_by, goals=2_000, seed=17)
                for looks in LOOKS
            ]
            print(f"| {judged_by} | {prompts} | " + " | ".join(f"{s:.1%}" for s in shares) + " |")

    print("\n75 % of the decided prompts won: called better\n")
    print("| judged by | prompts | ties | seen | theory | difference |\n|---|---|---|---|---|---|")
    for judged_by, evaluations in (("pass or fail", 10_000), ("a judge", 4_000)):
        for prompts in (20, 35, 60, 200):
            for rate in (0.0, 0.3, 0.6):
                seen, theory = power_at(
                    prompts,
                    rate,
                    win_rate=0.75,
                    evaluations=evaluations,
                    seed=17,
                    judged_by=judged_by,
                )
                print(
                    f"| {judged_by} | {prompts} | {rate:.0%} | {seen:.1%} | {theory:.1%} "
                    f"| {100 * (seen - theory):+.1f} |"
                )

    print("\nNo difference, 60 prompts from 15 sources with correlated outcomes, 30 % ties\n")
    print("| counted by | called better |\n|---|---|")
    for name, ignore in (("source", False), ("prompt (wrong here)", True)):
        share = false_alarms(60, 0.3, evaluations=1_000, seed=17, sources=15, ignore_sources=ignore)
        print(f"| {name} | {share:.1%} |")

    print("\nHow often a 95 % interval holds the truth, 4,000 evaluations each\n")
    print("| prompts | win rate | net gain | mean gain |\n|---|---|---|---|")
    for prompts in PROMPTS:
        found = coverage(prompts, evaluations=4_000, seed=17)
        print(f"| {prompts} | " + " | ".join(f"{share:.1%}" for share in found.values()) + " |")


if __name__ == "__main__":
    main()
