"""A judge is held against the people who voted blind on the same evaluation."""

import pytest

from finetune_app.evaluation.models import Vote
from finetune_app.judging import calibration, presenters
from tests.conftest import person
from tests.judging import planted_judges


@pytest.fixture
def run(ask, wanted):
    """It prefers ours where that is right, and finds the others equal."""
    return ask(planted_judges.good(wanted))


@pytest.fixture
def vote(tested, owner):
    def vote(index: int, choice: str, by=owner, **fields) -> Vote:
        return Vote.objects.create(
            evaluation=tested, index=index, by=by, choice=choice, left_was="base", **fields
        )

    return vote


@pytest.fixture
def right(tested) -> list[int]:
    """The prompts on which the judge prefers ours."""
    return list(tested.comparisons.filter(outcome="better").values_list("index", flat=True))


def people_text(run) -> str:
    return presenters.opinion_of(run).people


def test_without_votes_nothing_is_said(run):
    assert people_text(run) == ""


def test_agreement_is_shown_with_its_interval(run, vote, right):
    for index in right[:12]:
        vote(index, "ours")
    assert "on 12 of 12 prompts (76% to 100%)" in people_text(run)
    assert "It agrees with your people." in people_text(run)


def test_few_votes_prove_no_agreement(run, vote, right):
    for index in right[:3]:
        vote(index, "ours")
    assert "on 3 of 3 prompts" in people_text(run)
    assert "too few to say that it agrees" in people_text(run)
    assert "It agrees" not in people_text(run)


def test_a_judge_that_disagrees_is_not_to_be_followed(run, vote, right):
    for index in right[:10]:
        vote(index, "base")
    assert "on 0 of 10 prompts" in people_text(run)
    assert "follow them, not the judge" in people_text(run)


def test_a_tie_of_the_judge_agrees_with_nobody(run, vote, tested):
    tie = tested.comparisons.filter(outcome="same").first()
    vote(tie.index, "ours")
    assert calibration.agreement_with_people(run) == calibration.Share(0, 1)


def test_where_people_see_no_difference_nothing_is_compared(run, vote, right):
    vote(right[0], "tie")
    vote(right[1], "both_bad")
    assert calibration.agreement_with_people(run).whole == 0


def test_the_majority_counts_and_a_draw_does_not(run, vote, right, team):
    people = [person(f"p{n}@kettle.example", team) for n in range(3)]
    for who, choice in zip(people, ("ours", "ours", "base"), strict=True):
        vote(right[0], choice, by=who)
    vote(right[1], "ours", by=people[0])
    vote(right[1], "base", by=people[1])
    assert calibration.people_prefer(run) == {right[0]: "second"}


def test_votes_after_the_names_were_shown_do_not_count(run, vote, right):
    vote(right[0], "ours", counts=False)
    assert calibration.people_prefer(run) == {}


def test_votes_that_come_later_count_as_well(run, vote, right, as_viewer, url):
    """The judge need not be asked again."""
    address = url("detail", run.pk)
    assert "voted blind" not in as_viewer.get(address).content.decode()
    vote(right[0], "ours")
    assert "it chose as they did on 1 of 1" in as_viewer.get(address).content.decode()
