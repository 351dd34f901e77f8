"""What people said is counted by prompt, with its uncertainty, beside the verdict of a measure."""

import json

import pytest

from finetune_app.evaluation.models import Evaluation, Voter
from finetune_app.evaluation.verdict.statistics import Split, decided_needed, wilson
from finetune_app.evaluation.votes import links, presenters, results
from finetune_app.evaluation.votes import services as votes
from finetune_app.evaluation.votes.ballots import count_different
from finetune_app.evaluation.votes.results import Agreement, ControlVotes, Preference
from finetune_app.evaluation.votes.voters import guest_voter
from finetune_app.goals import services as goals
from finetune_app.labelling.agreement import krippendorff_alpha
from tests import journey
from tests.evaluation.conftest import different_answers
from tests.evaluation.votes.ballot_papers import choose, control_pairs, real_indexes


@pytest.fixture
def compared(goal, owner):
    """A measure says that ours is better on every prompt; enough of them for agreement."""
    goals.choose_measure(goal=goal, kind="exact", settings={})
    journey.freeze(goal, owner, 100)
    training = journey.trained(journey.ready(goal, owner), owner)

    def say(prompt, kind):
        return different_answers(prompt, kind)[0], kind == "tuned"

    return journey.evaluated(training, owner, say=say)


@pytest.fixture
def link(compared, owner):
    made, _secret = links.create_link(evaluation=compared, by=owner, days=14)
    return made


@pytest.fixture
def lena(link) -> Voter:
    return guest_voter(link=link, name="Lena")


@pytest.fixture
def omar(link) -> Voter:
    return guest_voter(link=link, name="Omar")


def preference_of(split: Split, more: int | None = None) -> Preference:
    return Preference(split, wilson(split.wins, split.decided), more is None, more, 0, 0)


# ---- Preference ----


def test_each_prompt_counts_once_by_its_majority(compared, lena, omar):
    choose(lena, 0, "ours")
    choose(omar, 0, "ours")  # together one win
    choose(lena, 1, "ours")
    choose(omar, 1, "base")  # a draw
    choose(lena, 2, "base")
    choose(lena, 3, "neither")
    found = results.preference(compared)
    assert found.split == Split(wins=1, ties=2, losses=1)
    assert found.interval == wilson(1, 2)
    assert (found.same_as_measure, found.both_decided) == (1, 2)


def test_it_is_said_beside_the_verdict_and_does_not_replace_it(compared, lena, as_viewer, url):
    for index in range(5):
        choose(lena, index, "base")
    page = as_viewer.get(url("detail", compared.pk)).content.decode()
    assert "people preferred the tuned model on 0 of 5 prompts, the base model on 5" in page
    assert compared.verdict["headline"] in page
    assert "they agree on 0 of 5 prompts" in page


@pytest.mark.parametrize(
    ("split", "more"),
    [
        (Split(0, 0, 0), None),
        (Split(0, 9, 0), None),
        (Split(2, 0, 1), 46),  # 3 of 5 after the added ones: 49 decided are needed, rounded up
        (Split(500, 0, 500), None),
    ],
)
def test_how_many_more_would_settle_it(split, more):
    found = results.more_needed(split)
    if more:
        needed = decided_needed((split.wins + 1) / (split.decided + 2))
        assert needed - split.total <= found <= 1.1 * (needed - split.total)
    else:
        assert found is None


def test_ties_make_it_take_longer():
    without = results.more_needed(Split(8, 0, 3))
    assert results.more_needed(Split(8, 11, 3)) > without


@pytest.mark.parametrize(
    ("found", "unvoted", "words"),
    [
        (preference_of(Split(9, 0, 0)), 3, "rare if people saw no difference"),
        (preference_of(Split(4, 0, 2), more=12), 20, "About 12 more votes would settle it"),
        (preference_of(Split(4, 0, 2), more=12), 5, "about 12 more test prompts"),
    ],
)
def test_what_would_settle_it_is_said(found, unvoted, words):
    assert words in presenters.settled_sentence(found, unvoted)


def test_nothing_is_settled_while_votes_come_in(compared, link, lena, as_editor, url):
    """Whoever looks after each vote and stops when it looks good would be wrong too often."""
    for index in real_indexes(lena)[:8]:
        choose(lena, index, "ours")
    page = as_editor.get(url("votes", compared.pk)).content.decode()
    assert "Votes are still coming in" in page
    assert "it is settled" not in page
    links.revoke_link(link=link)
    page = as_editor.get(url("votes", compared.pk)).content.decode()
    assert "it is settled" in page
    assert "Votes are still coming in" not in page


def test_no_number_to_stop_at_is_said_while_votes_come_in(compared, lena, as_editor, url):
    for at, index in enumerate(real_indexes(lena)[:6]):
        choose(lena, index, "base" if at == 0 else "ours")
    page = as_editor.get(url("votes", compared.pk)).content.decode()
    assert "would settle it" not in page
    assert "takes about" not in page


def test_it_is_settled_once_every_prompt_has_a_vote(compared, link, as_editor, url):
    for name in ("Lena", "Omar"):
        for index in real_indexes(voter := guest_voter(link=link, name=name)):
            choose(voter, index, "ours")
    assert results.preference(compared).split.total == count_different(compared)
    assert "it is settled" in as_editor.get(url("votes", compared.pk)).content.decode()


def test_prompts_that_were_seen_often_need_a_clearer_preference(compared, lena):
    for index in real_indexes(lena)[:6]:
        choose(lena, index, "ours")
    assert results.preference(compared).settled
    compared.looks = 3
    found = results.preference(compared)
    assert not found.settled
    assert found.more


def test_an_endless_search_is_not_advised():
    found = Preference(Split(5, 0, 5), wilson(5, 10), False, None, 0, 0)
    assert "if there is a difference, it is small" in presenters.settled_sentence(found, 99)


def test_the_range_is_said_in_per_cent():
    words = presenters.interval_sentence(preference_of(Split(14, 2, 4)))
    assert "Of the 18 prompts with a preference it won 78 %." in words
    assert "between 55 and 91 %" in words
    assert presenters.interval_sentence(preference_of(Split(0, 3, 0))) == ""


# ---- Agreement ----


def test_alpha_is_the_published_one():
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), C: four observers, twelve
    units, missing values: 0.743 for nominal data."""
    observers = [
        "1 2 3 3 2 1 4 1 2 * * *",
        "1 2 3 3 2 2 4 1 2 5 * 3",
        "* 3 3 3 2 3 4 2 2 5 1 *",
        "1 2 3 3 2 4 4 1 2 5 1 *",
    ]
    units = [
        [value for value in unit if value != "*"]
        for unit in zip(*(one.split() for one in observers), strict=True)
    ]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.001)


def test_agreement_is_of_prompts_that_several_voted_on(compared, lena, omar):
    for index in range(10):
        for voter in (lena, omar):
            choose(voter, index, "ours" if index % 2 else "base")
    choose(lena, 10, "ours")
    found = results.agreement(compared.counted_choices)
    assert (found.prompts, found.alpha) == (10, pytest.approx(1.0))
    for index in range(10):
        choose(omar, index, "base" if index % 2 else "ours")
    again = Evaluation.objects.get(pk=compared.pk)
    assert results.agreement(again.counted_choices).alpha < 0


def test_neither_and_about_the_same_agree(compared, lena, omar):
    """Both say that there is no winner, which is what counts."""
    for index in range(10):
        choose(lena, index, "tie" if index < 5 else "ours")
        choose(omar, index, "neither" if index < 5 else "ours")
    assert results.agreement(compared.counted_choices).alpha == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        (Agreement(3, None), "Too few to tell yet: it takes 10 prompts"),
        (Agreement(20, None), "the same every time"),
        (Agreement(20, 0.85), "They agree well"),
        (Agreement(20, 0.7), "fairly well"),
        (Agreement(20, 0.3), "often disagree"),
        (Agreement(20, -0.1), "no more often than chance"),
    ],
)
def test_what_agreement_means_is_said(agreement, words):
    assert words in presenters.agreement_sentence(agreement)


# ---- Controls ----


def test_control_votes_are_counted_apart(compared, lena, as_editor, url):
    controls = control_pairs(lena)
    for index, baseline in controls:
        choose(lena, index, "control", baseline)
    (found,) = results.control_votes(compared)
    assert (found.baseline, found.votes, found.preferred) == (
        "repeat",
        len(controls),
        len(controls),
    )
    assert results.preference(compared).split.total == 0
    page = as_editor.get(url("votes", compared.pk)).content.decode()
    assert f"{len(controls)} of {len(controls)} preferred the question repeated" in page


def test_a_voter_who_prefers_the_controls_is_visible(compared, lena, omar):
    index, baseline = control_pairs(lena)[0]
    choose(lena, index, "control", baseline)
    choose(omar, 0, "ours")
    lines = {line.name: line for line in results.voter_lines(compared)}
    assert (lines["Lena"].controls, lines["Lena"].preferred_controls) == (1, 1)
    assert (lines["Omar"].controls, lines["Omar"].votes) == (0, 1)


def test_only_a_majority_of_several_is_doubtful():
    def words(votes, preferred, baseline="repeat"):
        found = ControlVotes(baseline, votes, preferred)
        return presenters.control_sentence(found)

    assert words(5, 4) == (
        "4 of 5 preferred the question repeated: the task or the answers are unclear."
    )
    assert words(5, 1) == "1 of 5 preferred the question repeated."
    assert words(2, 2) == "2 of 2 preferred the question repeated."
    assert "looking up an example" in words(4, 3, "nearest_meaning")


# ---- Preference pairs ----


def read(reply) -> list[dict]:
    assert reply.status_code == 200
    lines = b"".join(reply.streaming_content).decode().splitlines()
    return [json.loads(line) for line in lines]


def test_choices_become_preference_pairs(compared, lena, omar, as_editor, url):
    choose(lena, 2, "ours")
    choose(lena, 0, "base")
    choose(lena, 1, "tie")
    choose(lena, 3, "ours")
    choose(omar, 3, "base")  # nobody won
    index, baseline = control_pairs(lena)[0]
    choose(lena, index, "control", baseline)
    reply = as_editor.get(url("preference_pairs", compared.pk))
    assert 'filename="preferences-of-evaluation-' in reply["Content-Disposition"]
    pairs = read(reply)
    prompts = dict(compared.comparisons.values_list("index", "prompt"))
    assert pairs == [
        {"prompt": prompts[0], "chosen": "Long and winding 0", "rejected": "Short 0"},
        {"prompt": prompts[2], "chosen": "Short 2", "rejected": "Long and winding 2"},
    ]


def test_before_the_count_there_are_no_preference_pairs(ballot, as_editor, owner, url):
    made, _secret = links.create_link(evaluation=ballot, by=owner, days=1)
    choose(guest_voter(link=made, name=""), 0, "ours")
    assert as_editor.get(url("preference_pairs", ballot.pk)).status_code == 409
    votes.reveal(evaluation=ballot)
    assert len(read(as_editor.get(url("preference_pairs", ballot.pk)))) == 1


def test_only_editors_take_them(compared, as_viewer, as_stranger, as_editor, url):
    address = url("preference_pairs", compared.pk)
    assert as_viewer.get(address).status_code == 403
    assert as_stranger.get(address).status_code == 404
    assert as_editor.post(address).status_code == 405
