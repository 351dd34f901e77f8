"""How often a judge and the people who voted blind prefer the same answer."""

from collections import defaultdict

from finetune_app.evaluation.models import Vote
from finetune_app.judging import grading, limits
from finetune_app.judging.grading import Share, Side
from finetune_app.judging.job_messages import GivenChoice
from finetune_app.judging.models import JudgeRun

SIDES: dict[str, Side] = {Vote.Choice.BASE: "first", Vote.Choice.OURS: "second"}


def agreement_with_people(run: JudgeRun) -> Share:
    """On the prompts where most votes are for one side: whether the judge named it.

    A judge's tie does not agree, so a judge that chooses at random agrees on half at most.
    """
    people = people_prefer(run)
    judged = grading.judged_pairs(given_choices(run))
    compared = [
        (side, judged["answers", index].side)
        for index, side in people.items()
        if ("answers", index) in judged
    ]
    return Share(sum(theirs == its for theirs, its in compared), len(compared))


def people_prefer(run: JudgeRun) -> dict[int, Side]:
    """By the index of the prompt; without those where the votes are even."""
    totals: dict[int, int] = defaultdict(int)
    for index, choices in run.evaluation.counted_choices.items():
        for choice in choices:
            totals[index] += {"first": -1, "second": 1}.get(SIDES.get(choice, ""), 0)
    return {index: "second" if sum > 0 else "first" for index, sum in totals.items() if sum}


def agrees(share: Share) -> bool:
    """Whether it may be said to agree with people."""
    return share.whole > 0 and share.interval.low > limits.MIN_AGREEMENT


def disagrees(share: Share) -> bool:
    return share.whole > 0 and share.interval.high < limits.MIN_AGREEMENT


def given_choices(run: JudgeRun) -> list[GivenChoice]:
    """All that the judge has answered so far."""
    found = run.answers.values("kind", "index", "swapped", "choice")
    return list(found)  # type: ignore[arg-type]  # the columns' choices are those of the type
