"""Somebody without an account votes by a link; nothing on the way tells which answer is whose."""

import re
from random import Random

import pytest
from django.test import Client
from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError

from finetune_app.core import rate_limiter
from finetune_app.evaluation.models import Vote, Voter
from finetune_app.evaluation.votes import limits, links
from finetune_app.evaluation.votes.ballots import MAX_PAIRS_BY_LINK, control_of, draw_pairs
from finetune_app.evaluation.votes.voters import guest_voter
from tests.conftest import signed_in
from tests.evaluation.conftest import address_of
from tests.evaluation.votes.ballot_papers import button_of, position_of, real_indexes


def press(browser, address, button, position) -> None:
    reply = browser.post(address, {"vote": button, "pair": str(position)})
    assert (reply.status_code, reply["Location"]) == (302, address)


def vote_on_all(browser, address, chosen="ours") -> Voter:
    voter = Voter.objects.latest("pk")
    for position, pair in enumerate(voter.pairs):
        button = "tie" if control_of(pair) else button_of(voter, position, chosen)
        press(browser, address, button, position)
    return voter


# ---- The way through ----


def test_from_the_welcome_to_the_thanks(address, compared):
    browser = Client()
    assert "Begin" in browser.get(address).content.decode()
    assert not Voter.objects.exists()  # opening it changes nothing
    browser.post(address, {"start": "1", "name": " Lena "})
    voter = Voter.objects.get()
    assert (str(voter), voter.user, voter.blind) == ("Lena", None, True)
    total = len(voter.pairs)
    assert f"Pair 1 of {total}" in browser.get(address).content.decode()
    vote_on_all(browser, address)
    page = browser.get(address).content.decode()
    assert "Thank you." in page
    assert f"You have compared {total} pairs." in page
    assert compared.votes.counted().count() == compared.comparisons.count()
    assert set(compared.votes.counted().values_list("choice", flat=True)) == {"ours"}


def test_a_name_is_optional_and_not_too_long(address):
    Client().post(address, {"start": "1"})
    assert Voter.objects.get().name == ""
    reply = Client().post(address, {"start": "1", "name": "x" * 61})
    assert reply.status_code == 422
    assert Voter.objects.count() == 1


@pytest.mark.parametrize(("button", "choice"), [("tie", "tie"), ("neither", "both_bad")])
def test_about_the_same_and_neither(guest, address, button, choice):
    press(guest, address, button, 0)
    assert Vote.objects.get().choice == choice


def test_undo_takes_back_the_last_vote(guest, address):
    press(guest, address, "a", 0)
    press(guest, address, "b", 1)
    guest.post(address, {"undo": "1"})
    assert Vote.objects.count() == 1
    assert "Pair 2 of" in guest.get(address).content.decode()


def test_a_second_vote_on_a_pair_replaces_the_first(guest, address):
    """The back button, or a double press."""
    press(guest, address, "a", 0)
    press(guest, address, "tie", 0)
    assert Vote.objects.get().choice == "tie"


def test_somebody_stops_and_goes_on_later(guest, address):
    press(guest, address, "a", 0)
    assert "You can go on now" in guest.get(f"{address}?stop").content.decode()
    assert "Pair 2 of" in guest.get(address).content.decode()


def test_the_pairs_stay_as_they_were_on_reload(guest, address):
    one, two = (guest.get(address).content.decode() for _n in range(2))
    assert re.findall(r"Long and winding \d+|Short \d+", one) == re.findall(
        r"Long and winding \d+|Short \d+", two
    )


def test_the_teams_note_is_above_each_pair(compared, owner):
    address = address_of(compared, owner, note="You are <b>the customer</b>.")
    browser = Client()
    for page in (browser.get(address), browser.post(address, {"start": "1"}, follow=True)):
        assert "You are &lt;b&gt;the customer&lt;/b&gt;." in page.content.decode()


# ---- What a voter gets ----


def test_each_voter_has_their_own_order_and_sides(compared, owner):
    link, _secret = links.create_link(evaluation=compared, by=owner, days=1)
    drawn = [guest_voter(link=link, name="") for _n in range(20)]  # few have all on one side
    assert any(voter.pairs != drawn[0].pairs for voter in drawn)
    assert all(sorted(real_indexes(v)) == sorted(real_indexes(drawn[0])) for v in drawn)
    assert {pair["left"] for voter in drawn for pair in voter.pairs} >= {"base", "ours"}


def test_at_most_forty_pairs_are_asked_by_a_link(compared, monkeypatch):
    monkeypatch.setattr("finetune_app.evaluation.votes.voters.MAX_PAIRS_BY_LINK", 3)
    assert MAX_PAIRS_BY_LINK == 40
    link, _secret = links.create_link(evaluation=compared, by=compared.started_by, days=1)
    voter = guest_voter(link=link, name="")
    assert len(real_indexes(voter)) == 3
    assert 0 < sum(bool(control_of(pair)) for pair in voter.pairs) <= 3


def test_stored_answers_without_a_model_are_the_controls(compared):
    for index in range(4):
        compared.trivial_answers.create(
            baseline="nearest_meaning", index=index, text=f"Nearest {index}", passed=False, score=0
        )
    kinds = {control_of(pair) for pair in draw_pairs(compared, Random(1))}
    assert kinds == {"", "repeat", "nearest_meaning"}


def test_a_control_that_says_what_ours_says_is_no_control(compared):
    for answer in compared.answers.filter(candidate=compared.ours):
        compared.trivial_answers.create(
            baseline="repeat", index=answer.index, text=answer.text, passed=False, score=0
        )
    assert {control_of(pair) for pair in draw_pairs(compared, Random(1))} == {""}


# ---- Members of the team ----


def test_a_member_who_can_have_seen_the_results_does_not_count(address, compared, viewer):
    browser = signed_in(viewer)
    assert "they do not count" in browser.get(address).content.decode()
    browser.post(address, {"start": "1"})
    voter = Voter.objects.get()
    assert (voter.user, voter.blind) == (viewer, False)
    press(browser, address, button_of(voter, position_of(voter, 0), "ours"), position_of(voter, 0))
    assert Vote.objects.get().counts is False
    assert not compared.votes.counted().exists()


def test_where_a_person_decides_a_member_is_one_voter_by_account_and_by_link(
    ballot, owner, editor, url
):
    address = address_of(ballot, owner)
    browser = signed_in(editor)
    browser.post(address, {"start": "1"})
    press(browser, address, "a", 0)
    browser.post(url("vote", ballot.pk), {"vote": "a", "pair": "1"})
    voter = Voter.objects.get()
    assert (voter.user, voter.blind, voter.votes.count()) == (editor, True, 2)


def test_an_outsider_with_an_account_votes_like_anybody(address, stranger):
    browser = signed_in(stranger)
    browser.post(address, {"start": "1"})
    voter = Voter.objects.get()
    assert (voter.user, voter.blind) == (None, True)


# ---- Choice ----


def test_votes_by_link_decide_where_people_decide(ballot, owner):
    address = address_of(ballot, owner)
    for chosen in ("ours", "ours", "base"):
        browser = Client()
        browser.post(address, {"start": "1"})
        voter = Voter.objects.latest("pk")
        position = position_of(voter, 0)
        press(browser, address, button_of(voter, position, chosen), position)
    assert ballot.comparisons.get(index=0).outcome == "better"


def test_votes_never_change_the_verdict_of_a_measure(address, compared):
    browser = Client()
    browser.post(address, {"start": "1"})
    before = [*compared.comparisons.values_list("index", "outcome")]
    verdict = compared.verdict
    vote_on_all(browser, address, "base")
    compared.refresh_from_db()
    assert [*compared.comparisons.values_list("index", "outcome")] == before
    assert compared.verdict == verdict


# ---- Bad requests, limits ----


def test_other_methods_are_refused(address):
    for method in ("put", "patch", "delete"):
        assert getattr(Client(), method)(address).status_code == 405


def test_another_sites_form_is_refused(address):
    browser = Client(enforce_csrf_checks=True)
    assert browser.post(address, {"start": "1"}).status_code == 403
    assert not Voter.objects.exists()


def test_a_vote_without_having_begun_leads_to_the_welcome(address):
    browser = Client()
    press(browser, address, "a", 0)
    assert not Vote.objects.exists()
    assert "Begin" in browser.get(address).content.decode()


def test_unknown_pairs_and_buttons_are_explained(guest, address):
    assert guest.post(address, {"vote": "a", "pair": "999"}).status_code == 404
    assert guest.post(address, {"vote": "x", "pair": "0"}).status_code == 400
    assert guest.post(address, {"vote": "a", "pair": "²"}).status_code == 302
    assert not Vote.objects.exists()


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(limits, "VOTES", RateLimitItemPerMinute(2))
    monkeypatch.setattr(limits, "NEW_VOTERS", RateLimitItemPerHour(2))


def test_too_many_votes_at_once_have_to_wait(small_limits, guest, address):
    for position in range(2):
        press(guest, address, "a", position)
    reply = guest.post(address, {"vote": "a", "pair": "2"})
    assert (reply.status_code, reply["Retry-After"]) == (429, "60")
    assert "your votes so far are kept" in reply.content.decode()
    assert Vote.objects.count() == 2
    elsewhere = {"REMOTE_ADDR": "10.0.0.9"}
    assert guest.post(address, {"vote": "a", "pair": "2"}, **elsewhere).status_code == 302


def test_one_address_cannot_make_voters_without_end(small_limits, address):
    codes = [Client().post(address, {"start": "1"}).status_code for _n in range(3)]
    assert codes == [302, 302, 429]
    assert Voter.objects.count() == 2


def test_a_link_has_a_largest_number_of_voters(monkeypatch, address):
    monkeypatch.setattr(limits, "MAX_VOTERS", 1)
    codes = [
        Client().post(address, {"start": "1"}, REMOTE_ADDR=f"10.0.0.{n}").status_code
        for n in range(2)
    ]
    assert codes == [302, 429]


def test_while_nothing_can_be_counted_nobody_votes(guest, address, monkeypatch):
    def broken(*args, **kwargs):
        raise StorageError(ConnectionError())

    monkeypatch.setattr(rate_limiter.limiter(), "hit", broken)
    assert guest.post(address, {"vote": "a", "pair": "0"}).status_code == 503
    assert not Vote.objects.exists()


def test_a_deleted_evaluation_takes_its_voters_along(guest, address, compared):
    press(guest, address, "a", 0)
    compared.delete()
    assert not Voter.objects.exists()
    assert not Vote.objects.exists()
    assert guest.get(address).status_code == 404
