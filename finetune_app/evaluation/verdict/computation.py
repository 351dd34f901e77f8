"""Computes the verdict from the answers of two candidates to the same prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import get_args

from finetune_app.evaluation.verdict import sentences
from finetune_app.evaluation.verdict.limits import (
    ALPHA,
    FIRST_LOOK_AT_TRIVIAL,
    MAX_LOSS_SHARE,
    MIN_GRADED,
    NO_DIFFERENCE,
    spent_at,
)
from finetune_app.evaluation.verdict.statistics import (
    Interval,
    Split,
    by_group,
    decided_needed,
    net_gain_interval,
    paired_bootstrap,
    sign_test,
    split_of,
    wilson,
)
from finetune_app.evaluation.verdict.types import (
    CLAIMS,
    GeneralLevel,
    Level,
    OpenQuestion,
    PairedOutcome,
    TrivialBaseline,
    TrivialResult,
    Verdict,
    Versus,
)


@dataclass(frozen=True)
class _Evidence:
    """The numbers that a verdict is based on.

    `shown` counts prompts; `counted` counts groups of prompts, where some share one. `alpha` is the
    two-sided p-value up to which a difference counts.
    """

    shown: Split
    counted: Split
    p_value: float
    interval: Interval
    gain_interval: Interval
    mean: float | None
    mean_gain: Interval | None
    grouped: bool
    alpha: float

    @property
    def significant(self) -> bool:
        return self.p_value <= self.alpha


def compute_verdict(
    pairs: Sequence[PairedOutcome],
    general_level: str | None = None,
    looks: int = 1,
    prompt_result: Sequence[PairedOutcome] | None = None,
    *,
    trivial_results: Mapping[TrivialBaseline, Sequence[PairedOutcome]] = MappingProxyType({}),
    noun: str = "prompts",
    ours: str = "the tuned model",
    voted: bool = False,
    wrong: int | None = None,
    unasked: int = 0,
) -> Verdict:
    """The verdict on the outcomes.

    Args:
        pairs: one outcome per prompt, of the candidate in question against the base.
        general_level: the general check's level; None until it has run, "unchanged" where nothing
            was trained.
        looks: how often results on this test set were seen, this time included. The more, the
            rarer a difference has to be (limits.spent_at).
        prompt_result: the same against the base model with a good prompt.
        trivial_results: the same against answers that need no model. Only a candidate that beats
            each of them is called better.
        noun: what is counted, in the plural.
        ours: the candidate in question, as named in a sentence.
        voted: whether a person chose, rather than a measure.
        wrong: how many prompts it still gets wrong, where there is right and wrong.
        unasked: how many prompts were too long for the base model with a good prompt.

    Raises:
        ValueError: `general_level` is unknown.
    """
    if general_level not in (None, *get_args(GeneralLevel)):
        raise ValueError(f"unknown general level {general_level!r}")
    alpha = 2 * spent_at(looks)
    seen = _gather(pairs, alpha)
    trivial = _nearest_trivial(trivial_results, looks)
    level = _level(seen, general_level, trivial)
    versus = _versus(_gather(prompt_result, alpha)) if prompt_result else None
    open_question = _open_question(seen) if level == "too_few_to_tell" else None
    needed = _more_needed(seen, looks) if open_question in ("chance", "seen_too_often") else None
    verdict = Verdict(
        level=level,
        headline=sentences.headline(
            level,
            general_level,
            seen.shown,
            versus,
            trivial=trivial,
            open_question=open_question,
        ),
        sentence=sentences.sentence(
            level,
            seen.shown,
            needed,
            _max_difference(seen),
            noun,
            voted,
            wrong,
            ours=ours,
            looks=looks,
            open_question=open_question,
        ),
        rarity=sentences.rarity(seen.p_value, seen.counted.decided),
        wins=seen.shown.wins,
        ties=seen.shown.ties,
        losses=seen.shown.losses,
        p_value=seen.p_value,
        interval=seen.interval,
        gain_interval=seen.gain_interval,
        mean_gain=seen.mean_gain,
        more_prompts_needed=needed,
    )
    notes = (
        sentences.prompt_note(versus, split_of([o.sign for o in prompt_result or ()]), ours),
        sentences.trivial_note(trivial, ours),
        sentences.unasked_note(unasked, noun),
        sentences.general_note(general_level, verdict.better),
        sentences.gain_note(seen.mean_gain, seen.mean, seen.counted),
        sentences.looks_note(looks, noun),
        sentences.groups_note(seen.counted, noun) if seen.grouped else "",
    )
    return replace(
        verdict, versus_prompt=versus, trivial=trivial, notes=tuple(note for note in notes if note)
    )


def held_to(today: Verdict, with_seen: Verdict, changed: int) -> Verdict:
    """Today's verdict, lowered to the one that also counts results on prompts that were removed or
    changed after they had been seen. What it counts and draws stays today's.

    Args:
        changed: how many such prompts there are.
    """
    lower = CLAIMS[with_seen.level] < CLAIMS[today.level]
    held = _held_to_others(today, with_seen)
    held_back = lower or (held.better and held.versus_prompt != today.versus_prompt)
    seen = Split(with_seen.wins, with_seen.ties, with_seen.losses)
    note = sentences.changed_note(changed, seen, held_back)
    held = replace(held, held_back=held_back, notes=(*held.notes, note))
    if not lower:
        return held
    return replace(
        held,
        level=with_seen.level,
        headline=sentences.held_back_headline(with_seen.level, with_seen.headline),
        rarity=sentences.RARITY_HELD_BACK,
    )


def _held_to_others(today: Verdict, with_seen: Verdict) -> Verdict:
    """With the comparison with a good prompt, and that with answers that need no model, of the two
    verdicts that claims less."""
    prompt_note, trivial_note, *others = _two_notes(today)
    seen_prompt_note, seen_trivial_note, *_others = _two_notes(with_seen)
    if today.versus_prompt == "better" and with_seen.versus_prompt in ("unclear", "not_better"):
        today = replace(today, versus_prompt=with_seen.versus_prompt)
        prompt_note = seen_prompt_note
    ours, theirs = today.trivial, with_seen.trivial
    if ours and theirs and ours.versus == "better" and theirs.versus != "better":
        today = replace(today, trivial=theirs)
        trivial_note = seen_trivial_note
    notes = (prompt_note, trivial_note, *others)
    return replace(today, notes=tuple(note for note in notes if note))


def _two_notes(verdict: Verdict) -> list[str]:
    """The notes, with "" for the first (on a good prompt) or second (on answers that need no
    model) where there is none."""
    notes = list(verdict.notes)
    if verdict.versus_prompt is None:
        notes.insert(0, "")
    if verdict.trivial is None:
        notes.insert(1, "")
    return notes


def _gather(pairs: Sequence[PairedOutcome], alpha: float) -> _Evidence:
    signs = [pair.sign for pair in pairs]
    groups = [pair.group for pair in pairs]
    shown, counted = split_of(signs), by_group(signs, groups)
    gains = [pair.gain for pair in pairs if pair.gain is not None]
    graded = bool(gains) and len(gains) == len(pairs)
    return _Evidence(
        shown=shown,
        counted=counted,
        p_value=sign_test(counted.wins, counted.losses),
        interval=wilson(counted.wins, counted.decided),
        gain_interval=net_gain_interval(counted),
        mean=math.fsum(gains) / len(gains) if graded else None,
        mean_gain=paired_bootstrap(gains, groups) if graded else None,
        grouped=counted.total < shown.total,
        alpha=alpha,
    )


def _level(
    seen: _Evidence, general_level: str | None, trivial: TrivialResult | None = None
) -> Level:
    """Apply the rules, strictest first. Another win never lowers the level."""
    if _is_better(seen):
        if trivial and trivial.versus == "not_better":
            return "not_better_than_trivial"
        if trivial and trivial.versus == "unclear":
            return "too_few_to_tell"
        return "consistently_better" if _consistent(seen, general_level) else "better_on_average"
    if seen.significant and _points(seen, -1):
        return "worse"
    return "no_difference" if seen.p_value > ALPHA and _no_difference(seen) else "too_few_to_tell"


def _open_question(seen: _Evidence) -> OpenQuestion:
    """Why it is too early to tell."""
    if _is_better(seen):
        return "trivial"
    if seen.significant:
        return "mixed"
    if seen.p_value <= ALPHA and (_points(seen, +1) or _points(seen, -1)):
        return "seen_too_often"
    return "mixed" if seen.p_value <= ALPHA else "chance"


def _is_better(seen: _Evidence) -> bool:
    return seen.significant and _points(seen, +1)


def _points(seen: _Evidence, sign: int) -> bool:
    """Whether prompts, groups and graded scores all differ in this direction (+1 or -1)."""
    differences = [seen.shown.wins - seen.shown.losses, seen.counted.wins - seen.counted.losses]
    return all(sign * difference > 0 for difference in differences) and (
        seen.mean is None or sign * seen.mean > 0
    )


def _consistent(seen: _Evidence, general_level: str | None) -> bool:
    return (
        general_level != "red"
        and seen.interval.low > 0.5
        and seen.shown.losses <= MAX_LOSS_SHARE * seen.shown.total
        and (seen.mean_gain is None or seen.mean_gain.low > 0)
    )


def _no_difference(seen: _Evidence) -> bool:
    return _max_difference(seen) <= NO_DIFFERENCE


def _max_difference(seen: _Evidence) -> float:
    """The largest difference, in either direction, that is compatible with the evidence."""
    intervals = [seen.gain_interval]
    if seen.mean_gain is not None and seen.counted.total >= MIN_GRADED:
        intervals.append(seen.mean_gain)
    return min(max(-low, high) for low, high in intervals)


def _more_needed(seen: _Evidence, looks: int) -> int | None:
    """About how many more prompts would settle a difference of this size; None for thousands.

    At 80 % power and the present share of decided prompts. One win and one loss are added, because
    the rate of the first few prompts tends to be too high. Once results have been seen before, the
    prompts have to be fresh ones, for which it is the first look again.
    """
    decided = seen.counted.decided
    if not decided:
        return None
    leading = max(seen.counted.wins, seen.counted.losses)
    needed = decided_needed((leading + 1) / (decided + 2))
    if needed is None:
        return None
    total = seen.shown.total
    more = math.ceil(needed * total / decided) - (total if looks <= 1 else 0)
    return sentences.rounded_up(max(more, 1))


def _nearest_trivial(
    results: Mapping[TrivialBaseline, Sequence[PairedOutcome]], looks: int
) -> TrivialResult | None:
    """The baseline that the candidate is least ahead of.

    To be better than all of them it has to beat each of them; no correction for their number is
    needed (an intersection-union test: Berger 1982, Technometrics 24:295).
    """
    found = []
    for baseline, outcomes in results.items():
        if outcomes:
            wins, ties, losses = split_of([one.sign for one in outcomes])
            versus = _versus_trivial(outcomes, looks)
            found.append(TrivialResult(baseline, versus, wins, ties, losses))
    order = ("not_better", "unclear", "better")
    return min(
        found, key=lambda one: (order.index(one.versus), one.wins - one.losses), default=None
    )


def _versus_trivial(outcomes: Sequence[PairedOutcome], looks: int) -> Versus:
    """An answer that needs no model has to be beaten: a draw is "not better".

    One-sided: only whether it is better is asked.
    """
    seen = _gather(outcomes, 2 * spent_at(looks, FIRST_LOOK_AT_TRIVIAL))
    if _is_better(seen):
        return "better"
    ahead = seen.shown.wins > seen.shown.losses and (seen.mean is None or seen.mean > 0)
    return "unclear" if ahead and not _no_difference(seen) else "not_better"


def _versus(seen: _Evidence) -> Versus:
    if _is_better(seen):
        return "better"
    worse = seen.significant and _points(seen, -1)
    return "not_better" if worse or _no_difference(seen) else "unclear"
