"""The sentences of a verdict: plain words, each number with what it means."""

from __future__ import annotations

import math
from fractions import Fraction

from finetune_app.evaluation.verdict.limits import (
    ALPHA,
    MAX_LOSS_SHARE,
    RARE,
    VERY_RARE,
    spent_at,
)
from finetune_app.evaluation.verdict.statistics import Interval, Split, detectable_win_rate
from finetune_app.evaluation.verdict.types import (
    BETTER_LEVELS,
    Level,
    OpenQuestion,
    TrivialBaseline,
    TrivialResult,
    Versus,
)

TRIVIAL: dict[TrivialBaseline, str] = {
    "repeat": "repeating the question",
    "commonest": "always giving the commonest answer",
    "constant": "always giving the same answer",
    "constant_repeat": "always giving the same answer and repeating the question",
    "nearest_words": "looking up the example with the nearest words",
    "nearest_meaning": "looking up the nearest example",
    "rules": "keeping the rules and saying nothing",
}
TRIVIAL_MEANS: dict[TrivialBaseline, str] = {
    "repeat": "The measure gives points for copying. Choose one on which the question itself does "
    "badly, or let a person choose.",
    "commonest": "It may have learned nothing but which answer is the most usual.",
    "constant_repeat": "The measure gives points for copying, and for what most answers have in "
    "common. Choose another one, or let a person choose.",
    "constant": "It may have learned nothing but what most answers have in common.",
    "nearest_words": "It may have learned the examples by heart.",
    "nearest_meaning": "It may have learned the examples by heart.",
    "rules": "Rules alone cannot tell whether an answer is right. Let a person choose, or compare "
    "with wanted answers.",
}


def headline(
    level: Level,
    general_level: str | None,
    seen: Split,
    versus: Versus | None = None,
    *,
    trivial: TrivialResult | None = None,
    open_question: OpenQuestion | None = None,
) -> str:
    if not seen.total:
        return "Nothing to compare yet."
    if trivial and level == "not_better_than_trivial":
        return f"Not better than {TRIVIAL[trivial.baseline]}."
    if trivial and open_question == "trivial":
        return f"Better than the base model, but perhaps not than {TRIVIAL[trivial.baseline]}."
    if open_question == "mixed":
        return "Mixed: no clear answer."
    if open_question == "seen_too_often" and seen.wins > seen.losses:
        return "Perhaps better: fresh prompts would tell."
    if versus == "not_better" and level == "consistently_better":
        return "Better than the base model, but a good prompt does at least as well."
    if level == "better_on_average" and general_level == "red":
        return "Better at your task, but it lost general ability."
    if general_level is None and level == "consistently_better":
        return "Better at your task; general ability not checked yet."
    if general_level is None and level == "better_on_average":
        return "Better at your task on average; general ability not checked yet."
    return {
        "consistently_better": "Yes, consistently better.",
        "better_on_average": "Better on average, not consistently.",
        "too_few_to_tell": "Too few to tell.",
        "no_difference": "No real difference.",
        "worse": "No, it is worse than the base model.",
    }[level]


def sentence(
    level: Level,
    seen: Split,
    needed: int | None,
    most: float,
    noun: str,
    voted: bool,
    wrong: int | None = None,
    *,
    ours: str = "the tuned model",
    looks: int = 1,
    open_question: OpenQuestion | None = None,
) -> str:
    """The counts and what follows from them.

    Args:
        most: the largest difference that is compatible with what was seen, as a share.
        wrong: prompts still answered wrong. Better need not be good, so a majority is mentioned.
    """
    if not seen.total:
        return f"Compare answers to a few {noun} first."
    counts = _counts(seen, noun, voted, ours)
    if open_question == "mixed":
        return f"{counts} The counts point one way and the scores the other, so we call it neither."
    if level == "better_on_average" and seen.losses > MAX_LOSS_SHARE * seen.total:
        return f"{counts} It wins more than it loses, but gets worse on {one_in(seen)}."
    if level == "no_difference":
        return f"{counts} A real difference is probably at most {math.ceil(most * 100)} in 100."
    if open_question == "seen_too_often":
        return f"{counts} {_seen_too_often(looks, needed, noun)}"
    if open_question == "chance":
        return f"{counts} {_too_few(seen, needed, noun, looks)}"
    if level == "consistently_better" and wrong is not None and wrong * 2 > seen.total:
        return f"{counts} But it is still wrong on {wrong:,} of {seen.total:,}."
    return counts


def _counts(seen: Split, noun: str, voted: bool, ours: str) -> str:
    if voted:
        return (
            f"Not knowing which was which, you preferred {ours} on {seen.wins:,} of "
            f"{seen.total:,}, the base model on {seen.losses:,}, and neither on {seen.ties:,}."
        )
    if seen.total == 1:
        noun = noun.removesuffix("s")
    return (
        f"On {seen.total:,} {noun} it had never seen, {ours} did better than the base "
        f"model on {seen.wins:,}, the same on {seen.ties:,}, and worse on {seen.losses:,}."
    )


def _seen_too_often(looks: int, needed: int | None, noun: str) -> str:
    start = f"At a first look that would be enough; at look {looks:,} it could be luck."
    if needed is None:
        return f"{start} Fresh {noun} would settle it."
    return f"{start} About {needed:,} fresh {noun} would settle it."


def _too_few(seen: Split, needed: int | None, noun: str, looks: int) -> str:
    if not seen.wins + seen.losses:
        return f"It was the same every time, but a small difference could hide in so few {noun}."
    chance = f"{seen.wins:,} to {seen.losses:,} could be chance."
    if needed is None:
        return f"{chance} A difference this small would take thousands of {noun} to settle."
    more = noun if needed > 1 else noun.removesuffix("s")
    kind = "more" if looks <= 1 else "fresh"
    return f"{chance} About {needed:,} {kind} {more} would settle a difference this size."


def one_in(seen: Split) -> str:
    """The share of losses as "1 in 4", rounded to a fraction with a denominator of at most 5."""
    share = Fraction(seen.losses, seen.total).limit_denominator(5)
    exact = share == Fraction(seen.losses, seen.total)
    return f"{'' if exact else 'about '}{share.numerator} in {share.denominator}"


def rarity(p_value: float, decided: int) -> str:
    """How often chance alone would give such a split, in words."""
    if not decided:
        return "Nothing was better or worse, so there is no split to explain."
    tries = 1 / max(p_value, 1e-300)
    if tries < 1.5:
        return "If there were no real difference, a split like this would be nothing unusual."
    start = "If there were no real difference, a split this lopsided would"
    if p_value > ALPHA:
        return f"{start} still come up about once in {plain_number(tries)} tries."
    how = "very rare" if p_value <= VERY_RARE else "rare" if p_value <= RARE else "unusual"
    return f"{start} be {how}: about once in {plain_number(tries)} tries."


def plain_number(value: float) -> str:
    """A number to two significant figures: "20", "2,400", "1.6 million", "more than a billion"."""
    if value > 1e9:
        return "more than a billion"
    if value >= 999_500:
        return f"{value / 1e6:.2g} million" if value < 9.95e6 else f"{_two(value / 1e6):,} million"
    return f"{_two(value):,}"


def _two(value: float) -> int:
    """Round to two significant figures."""
    size = int(10 ** max(0, math.floor(math.log10(max(value, 1))) - 1))
    return round(value / size) * size


def rounded_up(count: int) -> int:
    """Round an estimated number of prompts up to two significant figures."""
    size = int(10 ** max(0, len(str(count)) - 2))
    return math.ceil(count / size) * size


def trivial_note(trivial: TrivialResult | None, ours: str) -> str:
    """How it compares with the best answer that needs no model."""
    if trivial is None:
        return ""
    name = TRIVIAL[trivial.baseline]
    numbers = (
        f"better on {trivial.wins:,}, the same on {trivial.ties:,}, worse on {trivial.losses:,}"
    )
    if trivial.versus == "better":
        return f"It also beats every answer that needs no model; the nearest is {name}: {numbers}."
    if trivial.versus == "unclear":
        return f"Whether it beats {name}, we can’t tell yet: {numbers}."
    means = TRIVIAL_MEANS[trivial.baseline]
    return f"{_capitalised(ours)} is not better than {name}: {numbers}. {means}"


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]


RARITY_HELD_BACK = (
    "How often luck alone would give such a split cannot be said of a test that was changed after "
    "it was seen."
)


def held_back_headline(level: Level, headline: str) -> str:
    """That of a verdict which does not hold with results on prompts that were removed or changed.

    Args:
        level, headline: of the verdict with these results.
    """
    if level == "worse":
        return "Worse than the base model, with the prompts that were removed or changed."
    if level in BETTER_LEVELS:
        return headline
    return "Better only without the prompts that were removed or changed."


def changed_note(changed: int, seen: Split, held_back: bool) -> str:
    """What is true with the prompts that were removed or changed after results were seen.

    Args:
        changed: how many these are.
        seen: the counts with them.
    """
    what = "prompts of earlier tests were" if changed > 1 else "prompt of earlier tests was"
    note = (
        f"{changed:,} {what} removed or changed after the results had been seen. With what was "
        f"seen then: better on {seen.wins:,}, the same on {seen.ties:,}, worse on {seen.losses:,}."
    )
    if held_back:
        return f"{note} That shows less than today’s prompts alone, so it is what counts."
    return f"{note} The verdict holds with it."


def prompt_note(versus: Versus | None, seen: Split, ours: str) -> str:
    if versus is None:
        return ""
    numbers = f"better on {seen.wins:,}, the same on {seen.ties:,}, worse on {seen.losses:,}"
    return {
        "better": f"It also beats the base model with a good prompt: {numbers}.",
        "not_better": f"Your {ours.removeprefix('the ')} is not better than the base model with a "
        f"good prompt: {numbers}.",
        "unclear": "Whether it beats the base model with a good prompt, we can’t tell yet: "
        f"{numbers}.",
    }[versus]


def unasked_note(unasked: int, noun: str) -> str:
    if not unasked:
        return ""
    return (
        f"With a good prompt in front, {unasked:,} of the {noun} could not be asked: together they "
        "are too long for the base model. Those are left out of that comparison."
    )


def general_note(general_level: str | None, better: bool) -> str:
    return {
        "unchanged": "",
        None: "",  # the headline says it, or the general check's own line
        "green": "General ability: no large loss found.",
        "amber": "General ability: some may have been lost. Look at what changed before you go "
        "live.",
        "red": "General ability: a lot was lost, so we do not call it consistently better."
        if better
        else "General ability: a lot was lost.",
    }[general_level]


def gain_note(gain: Interval | None, mean: float | None, counted: Split) -> str:
    if gain is None or mean is None:
        return ""
    low, high = gain.low * 100, gain.high * 100
    note = (
        f"Its score changed by {mean * 100:+.1f} points in 100 on average, "
        f"probably {low:+.1f} to {high:+.1f}."
    )
    if (counted.wins - counted.losses) * mean < 0:
        note += " It changes more often in one direction, but further in the other."
    return note


def looks_note(looks: int, noun: str) -> str:
    if looks <= 1:
        return ""
    return f"Results on these {noun} have been seen {looks:,} times. {looks_rule(looks)}"


def looks_rule(looks: int) -> str:
    """How rare a difference has to be at this look at the same prompts."""
    if looks <= 1:
        return "The less often its results have been seen, the more a result proves."
    tries = plain_number(1 / (2 * spent_at(looks)))
    return (
        "Each look is a new chance for luck, so a difference now counts only if luck alone brings "
        f"it at most once in {tries} tries. With fresh prompts once in {1 / ALPHA:.0f} is enough."
    )


def detectable(prompts: int, looks: int) -> str:
    """What a test of so many prompts can show at this look, before it has run.

    Of models that are compared here, about half of the prompts usually decide; the others are
    right for both or wrong for both.
    """
    rate = detectable_win_rate(prompts // 2, alpha=2 * spent_at(looks))
    if rate is None:
        return f"Only {prompts:,}: too few to show any gain. Add prompts before you test."
    share = math.ceil(100 * rate)
    return (
        f"If the two differ on half of them, a model that does better on {share} in 100 of those "
        "is recognised 4 times in 5. Smaller gains need more prompts."
    )


def groups_note(counted: Split, noun: str) -> str:
    few = " Fewer than 6 can never be enough to tell." if counted.total < 6 else ""
    return (
        f"Some {noun} belong together (of one customer, say), so each group counts once: of "
        f"{counted.total:,} groups, {counted.wins:,} better, {counted.ties:,} the same, "
        f"{counted.losses:,} worse.{few}"
    )
