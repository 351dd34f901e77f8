"""What people said: their preference, whether they agree, and how they took the control pairs.

Beside a measure the verdict stays the measure's. The unit is a prompt: where several people voted
on it, their majority counts, and a draw counts as the same.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict

from finetune_app.evaluation.models import Comparison, Evaluation, Vote
from finetune_app.evaluation.outcomes import OUTCOME_SIGNS
from finetune_app.evaluation.verdict.limits import ALPHA, spent_at
from finetune_app.evaluation.verdict.sentences import rounded_up
from finetune_app.evaluation.verdict.statistics import (
    Interval,
    Split,
    by_group,
    decided_needed,
    sign_test,
    split_of,
    wilson,
)
from finetune_app.evaluation.votes.services import SIGN_OF_CHOICE, majority
from finetune_app.labelling.agreement import MIN_ROWS, krippendorff_alpha

MIN_ON_CONTROLS = 3  # votes on control pairs, below which nothing is concluded from them


@dataclass(frozen=True)
class Preference:
    """`split`: of ours against base, in prompts with a vote. `interval`: of the share of ours among
    the decided. `settled`: rarer by chance than the looks at these prompts allow, which holds only
    once no votes come in any more. `more`: about how many more prompts with a vote would settle it;
    None where it is settled, or thousands. `same_as_measure`: on how many of `both_decided` people
    and the measure chose the same answer."""

    split: Split
    interval: Interval
    settled: bool
    more: int | None
    same_as_measure: int
    both_decided: int


@dataclass(frozen=True)
class Agreement:
    """Of the prompts on which several people voted. `alpha` is Krippendorff's, for nominal data;
    None with fewer than MIN_ROWS of them, or where all votes are the same."""

    prompts: int
    alpha: float | None


@dataclass(frozen=True)
class ControlVotes:
    """`preferred`: how many of `votes` on pairs with this baseline chose it over ours."""

    baseline: str
    votes: int
    preferred: int

    @property
    def doubtful(self) -> bool:
        return self.votes >= MIN_ON_CONTROLS and 2 * self.preferred > self.votes


@dataclass(frozen=True)
class VoterLine:
    """What one voter did: how far they came, and how often they preferred a control answer."""

    name: str
    blind: bool
    by_link: bool
    votes: int
    pairs: int
    controls: int
    preferred_controls: int


class PreferencePair(TypedDict):
    """A line of the download, as TRL reads it."""

    prompt: str
    chosen: str
    rejected: str


def preference(evaluation: Evaluation) -> Preference:
    signs = _majorities(evaluation)
    split = split_of(list(signs.values()))
    groups = evaluation.groups
    counted = by_group(list(signs.values()), [groups.get(index) for index in signs])
    alpha = 2 * spent_at(evaluation.looks)
    settled = sign_test(counted.wins, counted.losses) <= alpha
    by_measure = {} if evaluation.needs_person else _signs_of_measure(evaluation)
    both = [(sign, by_measure[at]) for at, sign in signs.items() if sign and by_measure.get(at)]
    return Preference(
        split=split,
        interval=wilson(counted.wins, counted.decided),
        settled=settled,
        more=None if settled else more_needed(counted, alpha),
        same_as_measure=sum(people == measure for people, measure in both),
        both_decided=len(both),
    )


def more_needed(split: Split, alpha: float = ALPHA) -> int | None:
    """About how many more prompts with a vote would settle a preference of this size, at 80 %
    power and the present share of decided ones; None for thousands.

    One win and one loss are added, because the rate of the first few tends to be too high.
    """
    if not split.decided:
        return None
    win_rate = (max(split.wins, split.losses) + 1) / (split.decided + 2)
    needed = decided_needed(win_rate, alpha=alpha)
    if needed is None:
        return None
    more = math.ceil(needed * split.total / split.decided) - split.total
    return rounded_up(max(more, 1))


def agreement(counted: Mapping[int, list[str]]) -> Agreement:
    """Of an evaluation's `counted_choices`. Better, the same and worse are the categories, as they
    are what counts."""
    shared = [
        [str(SIGN_OF_CHOICE[choice]) for choice in choices]
        for choices in counted.values()
        if len(choices) > 1
    ]
    alpha = krippendorff_alpha(shared) if len(shared) >= MIN_ROWS else None
    return Agreement(len(shared), alpha)


def control_votes(evaluation: Evaluation) -> list[ControlVotes]:
    votes, preferred = Counter[str](), Counter[str]()
    for control, choice in evaluation.votes.on_controls().values_list("control", "choice"):
        votes[control] += 1
        preferred[control] += choice == Vote.Choice.CONTROL
    return [
        ControlVotes(one, votes[one], preferred[one]) for one in Vote.Control.values if votes[one]
    ]


def voter_lines(evaluation: Evaluation) -> list[VoterLine]:
    """Everybody who has voted, in the order in which they came."""
    rows = evaluation.votes.values_list("voter", "control", "choice")
    of_voter: dict[int | None, list[tuple[str, str]]] = defaultdict(list)
    for voter_id, control, choice in rows:
        of_voter[voter_id].append((control, choice))
    return [
        VoterLine(
            name=str(voter.user or voter.name),
            blind=voter.blind,
            by_link=voter.user_id is None,
            votes=len(of_voter[voter.pk]),
            pairs=len(voter.pairs),
            controls=sum(bool(control) for control, _choice in of_voter[voter.pk]),
            preferred_controls=sum(
                choice == Vote.Choice.CONTROL for _control, choice in of_voter[voter.pk]
            ),
        )
        for voter in evaluation.voters.select_related("user")
        if of_voter[voter.pk]
    ]


def preference_pairs(evaluation: Evaluation) -> Iterator[PreferencePair]:
    """One for each prompt on which most people chose the same answer."""
    signs = _majorities(evaluation)
    prompts = dict(evaluation.comparisons.values_list("index", "prompt"))
    texts = {
        (candidate_id, index): text
        for candidate_id, index, text in evaluation.answers.values_list(
            "candidate_id", "index", "text"
        )
    }
    for index, sign in sorted(signs.items()):
        if sign:
            ours, base = (texts[one, index] for one in (evaluation.ours_id, evaluation.base_id))
            chosen, rejected = (ours, base) if sign > 0 else (base, ours)
            yield {"prompt": prompts[index], "chosen": chosen, "rejected": rejected}


def _majorities(evaluation: Evaluation) -> dict[int, int]:
    return {index: majority(choices) for index, choices in evaluation.counted_choices.items()}


def _signs_of_measure(evaluation: Evaluation) -> dict[int, int]:
    return {
        one.index: OUTCOME_SIGNS[Comparison.Outcome(one.outcome)]
        for one in evaluation.comparisons.all()  # which a page with a verdict has read
        if one.outcome != Comparison.Outcome.OPEN
    }
