"""Blind votes: names hidden and sides shuffled until the votes are counted."""

import re
from random import Random

import pytest

from finetune_app.evaluation import services
from finetune_app.evaluation.models import Vote, Voter
from finetune_app.evaluation.votes import services as votes
from finetune_app.evaluation.votes import voters
from finetune_app.evaluation.votes.ballots import draw_pairs, make_ballot
from tests.conftest import person, signed_in
from tests.evaluation.votes.ballot_papers import (
    button_of,
    choose,
    control_pairs,
    position_of,
    real_indexes,
)


def vote(evaluation, index, user, name):
    return choose(voters.member_voter(evaluation, user), index, name)


def outcome(evaluation, index=0):
    return evaluation.comparisons.get(index=index).outcome


def shown_answers(html: str) -> list[str]:
    """The two answers in the order of the page."""
    return re.findall(r"Long and winding \d+|Short \d+", html)


def test_the_ballot_hides_the_names(as_editor, ballot, url):
    page = as_editor.get(url("detail", ballot.pk), follow=True).content.decode()
    assert "Which answer would you send?" in page
    body = page[page.index("<main") : page.index("</main>")].lower()
    assert shown_answers(page)
    assert not re.search(r"\bbase\b|tuned|ours|candidate|left_was|repeat", body)


def test_a_member_votes_on_every_prompt(editor, ballot):
    indexes = real_indexes(voters.member_voter(ballot, editor))
    assert sorted(indexes) == list(range(ballot.comparisons.count()))


def test_pairs_are_in_random_order_and_so_are_their_sides(ballot):
    drawn = [draw_pairs(ballot, Random(seed)) for seed in range(20)]
    assert any(pairs != drawn[0] for pairs in drawn)
    assert {pair["left"] for pairs in drawn for pair in pairs} >= {"base", "ours"}


def test_the_pairs_of_a_member_stay_the_same(as_editor, editor, ballot, url):
    pairs = voters.member_voter(ballot, editor).pairs
    assert voters.member_voter(ballot, editor).pairs == pairs
    one = shown_answers(as_editor.get(url("vote", ballot.pk)).content.decode())
    assert one == shown_answers(as_editor.get(url("vote", ballot.pk)).content.decode())


def test_each_person_has_their_own_shuffle(owner, editor, ballot, monkeypatch):
    seeds = []
    monkeypatch.setattr(voters, "Random", lambda seed: seeds.append(seed) or Random(seed))
    for user in (owner, editor):
        voters.member_voter(ballot, user)
    assert len(set(seeds)) == 2


def test_a_vote_is_stored_for_the_right_candidate(as_editor, editor, ballot, url):
    voter = voters.member_voter(ballot, editor)
    position = position_of(voter, 0)
    pressed = button_of(voter, position, "ours")
    as_editor.post(url("vote", ballot.pk), {"vote": pressed, "pair": str(position)})
    kept = Vote.objects.get()
    assert (kept.index, kept.choice, kept.by, kept.counts) == (0, "ours", editor, True)
    assert outcome(ballot) == "better"


def test_the_next_pair_is_one_without_a_vote(as_editor, editor, ballot, url):
    for position in range(3):
        page = as_editor.get(url("vote", ballot.pk)).content.decode()
        assert f'name="pair" value="{position}"' in page
        as_editor.post(url("vote", ballot.pk), {"vote": "a", "pair": str(position)})
    assert Voter.objects.get().user == editor
    assert Vote.objects.count() == 3


@pytest.mark.parametrize(
    ("pressed", "expected"),
    [("base", "worse"), ("ours", "better"), ("tie", "same"), ("neither", "same")],
)
def test_each_button_has_its_outcome(editor, ballot, pressed, expected):
    vote(ballot, 0, editor, pressed)
    assert outcome(ballot) == expected


def test_undo_removes_the_last_vote(as_editor, editor, ballot, url):
    vote(ballot, 0, editor, "ours")
    vote(ballot, 1, editor, "base")
    as_editor.post(url("vote", ballot.pk), {"undo": "1"})
    assert (outcome(ballot, 0), outcome(ballot, 1)) == ("better", "open")
    as_editor.post(url("vote", ballot.pk), {"undo": "1"})
    as_editor.post(url("vote", ballot.pk), {"undo": "1"})  # without a vote nothing happens
    assert not Vote.objects.exists()


def test_control_pairs_are_slipped_in_and_never_counted(editor, ballot):
    voter = voters.member_voter(ballot, editor)
    controls = control_pairs(voter)
    assert len(controls) >= 2
    for index, baseline in controls:
        assert baseline == "repeat"
        assert choose(voter, index, "control", baseline).choice == "control"
    assert not ballot.votes.counted().exists()
    assert not ballot.comparisons.decided().exists()
    assert ballot.votes.on_controls().count() == len(controls)


def test_the_majority_decides_and_a_draw_is_a_tie(owner, editor, team, ballot):
    third = person("lena@kettle.example", team)
    vote(ballot, 0, owner, "ours")
    vote(ballot, 0, editor, "base")
    assert outcome(ballot) == "same"
    vote(ballot, 0, third, "base")
    assert outcome(ballot) == "worse"


def test_counting_shows_names_and_verdict(as_editor, editor, ballot, url):
    voter = voters.member_voter(ballot, editor)
    for position in range(len(voter.pairs)):
        pressed = button_of(voter, position, "ours")
        votes.vote(voter=voter, position=position, pressed=pressed)
    assert "Count the votes" in as_editor.get(url("vote", ballot.pk)).content.decode()
    page = as_editor.post(url("reveal", ballot.pk), follow=True).content.decode()
    ballot.refresh_from_db()
    assert ballot.verdict["wins"] == ballot.comparisons.count()
    assert ballot.verdict["headline"] in page
    assert as_editor.get(url("vote", ballot.pk))["Location"] == url("detail", ballot.pk)


def test_votes_after_the_names_were_shown_do_not_count(owner, editor, ballot):
    vote(ballot, 0, editor, "ours")
    votes.reveal(evaluation=ballot)
    vote(ballot, 0, owner, "base")
    vote(ballot, 0, editor, "base")  # does not replace the earlier vote either
    assert outcome(ballot) == "better"
    assert list(Vote.objects.filter(counts=True).values_list("choice", flat=True)) == ["ours"]
    votes.reveal(evaluation=ballot)
    ballot.refresh_from_db()
    assert ballot.verdict["wins"] == 1


def test_counted_votes_cannot_be_undone(as_editor, editor, ballot, url):
    vote(ballot, 0, editor, "ours")
    votes.reveal(evaluation=ballot)
    assert as_editor.post(url("vote", ballot.pk), {"undo": "1"}).status_code == 409
    assert Vote.objects.count() == 1


def test_without_a_vote_the_names_stay_hidden(as_editor, ballot, url):
    assert as_editor.post(url("reveal", ballot.pk)).status_code == 409
    ballot.refresh_from_db()
    assert ballot.revealed_at is None


def test_nothing_is_counted_while_the_test_runs(as_editor, ballot, url):
    """The names would be known before the first vote, and no vote on the test could count."""
    ballot.comparisons.all().delete()
    assert as_editor.get(url("vote", ballot.pk))["Location"] == url("detail", ballot.pk)
    reply = as_editor.post(url("reveal", ballot.pk))
    assert reply.status_code == 409
    assert "Wait until the test has ended" in reply.content.decode()
    ballot.refresh_from_db()
    assert ballot.revealed_at is None


def test_the_votes_beside_a_measure_stay_open(as_editor, tested, url):
    assert as_editor.post(url("reveal", tested.pk)).status_code == 409
    tested.refresh_from_db()
    assert tested.revealed_at is None


def test_invalid_votes_are_rejected(as_editor, ballot, url):
    assert as_editor.post(url("vote", ballot.pk), {"vote": "c", "pair": "0"}).status_code == 400
    assert as_editor.post(url("vote", ballot.pk), {"vote": "a", "pair": "99"}).status_code == 404
    assert as_editor.post(url("vote", ballot.pk), {"vote": "a", "pair": "²"}).status_code == 302
    assert not Vote.objects.exists()


def test_an_evaluation_by_measure_takes_no_votes(as_editor, tested, url):
    reply = as_editor.post(url("vote", tested.pk), {"vote": "a", "pair": "0"})
    assert reply.status_code == 409
    assert outcome(tested) == "better"


def test_a_viewer_sees_nothing_before_the_count(as_viewer, editor, ballot, url):
    reply = as_viewer.get(url("detail", ballot.pk))
    assert reply.status_code == 403
    assert "once the votes are counted" in reply.content.decode()
    assert not shown_answers(reply.content.decode())
    vote(ballot, 0, editor, "ours")
    votes.reveal(evaluation=ballot)
    assert as_viewer.get(url("detail", ballot.pk)).status_code == 200


def test_only_editors_of_the_team_can_vote(as_viewer, as_stranger, as_owner, ballot, url):
    for name in ("vote", "reveal"):
        assert as_viewer.post(url(name, ballot.pk), {"vote": "a", "pair": "0"}).status_code == 403
        assert as_stranger.post(url(name, ballot.pk)).status_code == 404
    assert as_owner.get(url("reveal", ballot.pk)).status_code == 405
    assert as_owner.put(url("vote", ballot.pk)).status_code == 405
    assert not Vote.objects.exists()


def test_votes_of_others_are_not_shown(owner, as_editor, ballot, url):
    vote(ballot, 0, owner, "ours")
    page = as_editor.get(url("vote", ballot.pk)).content.decode()
    assert 'name="pair" value="0"' in page  # still at the first pair
    assert signed_in(owner).get(url("vote", ballot.pk)).status_code == 200


def test_nobody_is_asked_where_both_answers_are_the_same(goal, owner, ballot):
    ballot.answers.filter(index=0).update(text="  the same ")
    services.store_comparisons(ballot)
    assert outcome(ballot, 0) == "same"
    assert 0 not in real_indexes(voters.member_voter(ballot, owner))
    ballot.refresh_from_db()
    assert not ballot.verdict  # nothing is decided before somebody chose


def test_votes_of_an_earlier_version_become_their_authors(editor, ballot):
    """It stored no voters."""
    Vote.objects.create(evaluation=ballot, index=0, by=editor, choice="ours", left_was="base")
    vote(ballot, 1, editor, "base")
    vote(ballot, 0, editor, "base")  # replaces the earlier one
    assert sorted(ballot.votes.values_list("index", "choice")) == [(0, "base"), (1, "base")]


def test_what_could_not_be_asked_is_put_to_people_and_says_why_afterwards(
    as_editor, editor, ballot, url
):
    """Beside an answer it says nothing, and whoever chooses the other one counts."""
    of_ours = ballot.answers.filter(candidate=ballot.ours, index=0)
    of_ours.update(text="", refused=True, why="The question is too long. Shorten it.")
    voter = voters.member_voter(ballot, editor)
    shown = make_ballot(ballot, voter.pairs[position_of(voter, 0)])
    assert {shown["a"]["empty"], shown["b"]["empty"]} == {True, False}
    vote(ballot, 0, editor, "base")
    verdict = votes.reveal(evaluation=ballot)
    assert (verdict.wins, verdict.losses) == (0, 1)
    page = as_editor.get(url("detail", ballot.pk)).content.decode()
    assert "Shorten it" in page
