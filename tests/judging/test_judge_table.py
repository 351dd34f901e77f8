"""The table of docs/benchmarks/judges.md: planted judges, and how far each agrees with people.

`python -m pytest -m long -s tests/judging/test_judge_table.py` prints it.
"""

import random

import pytest

from finetune_app.evaluation.models import Vote
from finetune_app.judging import calibration, presenters, services
from tests import journey
from tests.conftest import person
from tests.judging import planted_judges
from tests.judging.conftest import styled_answers
from tests.judging.planted_judges import OURS_BEGINS, Judge

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

EXAMPLES = 300  # about 45 of them test prompts
PEOPLE, THEY_ARE_RIGHT = 3, 0.9  # each votes on every prompt, and errs now and then


@pytest.fixture
def tested(goal, owner):
    journey.freeze(goal, owner, EXAMPLES)
    training = journey.trained(journey.ready(goal, owner), owner)
    return journey.evaluated(training, owner, say=styled_answers)


@pytest.fixture
def voted(tested, team) -> None:
    draw = random.Random(17)
    for number in range(PEOPLE):
        by = person(f"voter{number}@kettle.example", team)
        for index, outcome in tested.comparisons.values_list("index", "outcome"):
            right = "ours" if outcome == "better" else "both_bad"
            choice = right if draw.random() < THEY_ARE_RIGHT else "base"
            Vote.objects.create(
                evaluation=tested, index=index, by=by, choice=choice, left_was="base"
            )


def sometimes_wrong(judge: Judge, share: float, seed: int) -> Judge:
    """Errs on some pairs, in both orders alike."""

    def judged(prompt: str, a: str, b: str) -> str:
        said = judge(prompt, a, b)
        errs = random.Random(f"{seed}{prompt}{sorted((a, b))}").random() < share
        return {"A": "B", "B": "A"}.get(said, said) if errs else said

    return judged


def test_only_judges_that_can_tell_are_heard(ask, wanted, voted):
    good = planted_judges.good(wanted)
    judges = {
        "knows the answers": good,
        "knows them, errs on 1 in 10": sometimes_wrong(good, 0.1, 1),
        "knows them, errs on 1 in 5": sometimes_wrong(good, 0.2, 2),
        "knows them, errs on 2 in 5": sometimes_wrong(good, 0.4, 3),
        "prefers the first": planted_judges.first_place,
        "prefers the second": planted_judges.second_place,
        "prefers the longer": planted_judges.longer,
        "prefers the shorter": planted_judges.shorter,
        "likes filler": planted_judges.likes_filler(wanted),
        "likes how the tuned model writes": planted_judges.likes(OURS_BEGINS, wanted),
        "likes how the base model writes": planted_judges.likes("I am not sure", wanted),
        "tosses a coin": planted_judges.tosses_a_coin(5),
        "always a tie": planted_judges.always_a_tie,
        "talks instead": planted_judges.chatty,
    }
    heard = set()
    print("\n| judge | orders agree | control pairs right | heard, or why not | as people chose |")
    print("|---|---|---|---|---|")
    for name, judge in judges.items():
        run = ask(judge)
        found, opinion = services.judgement_of(run), presenters.opinion_of(run)
        agreed = ""
        if opinion.passed:
            heard.add(name)
            share = calibration.agreement_with_people(run)
            low, high = share.interval.low, share.interval.high
            agreed = f"{share.part} of {share.whole} ({low:.0%} to {high:.0%})"
        print(
            f"| {name} | {found.orders.value:.0%} | {found.right.part} of {found.right.whole} "
            f"| {'**heard**' if opinion.passed else opinion.headline} | {agreed} |"
        )
        run.delete()
    assert {"knows the answers", "knows them, errs on 1 in 10"} <= heard
    assert all(name.startswith("knows") for name in heard)
