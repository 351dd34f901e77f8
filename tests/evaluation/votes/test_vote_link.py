"""An editor makes a link for votes, gives it away, and ends it."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from finetune_app.accounts.services.hashing import hash_secret
from finetune_app.audit.models import AuditEntry
from finetune_app.core.logs import SECRET
from finetune_app.evaluation.models import VoteLink, Voter
from finetune_app.evaluation.votes import services as votes
from tests.evaluation.votes.ballot_papers import choose

GIVEN = {"days": "14", "note": "You are the customer."}


@pytest.fixture
def make_link(as_editor, url):
    """The address in a new link."""

    def make(evaluation, **given) -> str:
        reply = as_editor.post(url("create_vote_link", evaluation.pk), GIVEN | given)
        assert reply.status_code == 200
        return reply.context["new_link"].removeprefix(settings.PUBLIC_URL)

    return make


def test_the_link_is_shown_once_and_stored_as_a_hash(tested, make_link, as_editor, url):
    address = make_link(tested)
    secret = address.removeprefix("/vote/").rstrip("/")
    assert len(secret) >= 32
    link = VoteLink.objects.get()
    assert link.secret_hash == hash_secret(secret)
    assert link.created_by.email == "jonas@kettle.example"
    assert timedelta(days=13) < link.expires_at - timezone.now() < timedelta(days=14)
    page = as_editor.get(url("votes", tested.pk)).content.decode()
    assert secret not in page
    assert "You are the customer." in page


def test_it_does_not_reach_the_log(tested, make_link):
    address = make_link(tested)
    assert SECRET.sub(r"\g<before>…", f"GET {address} 200") == "GET /vote/… 200"


def test_a_measure_needs_no_votes_but_takes_them_by_link(tested, make_link, as_viewer, url):
    page = as_viewer.get(url("detail", tested.pk)).content.decode()
    assert "What people say" in page
    assert Client().get(make_link(tested)).status_code == 200


def test_a_revoked_link_ends_and_its_votes_stay(tested, make_link, as_editor, url):
    address, guest = make_link(tested), Client()
    guest.post(address, {"start": "1"})
    choose(Voter.objects.get(), 0, "ours")
    link = VoteLink.objects.get()
    as_editor.post(url("revoke_vote_link", tested.pk, link.pk))
    assert guest.get(address).status_code == 404
    assert guest.post(address, {"vote": "a", "pair": "1"}).status_code == 404
    assert tested.votes.counted().count() == 1
    assert "Links that work" not in as_editor.get(url("votes", tested.pk)).content.decode()


def test_an_expired_link_looks_like_one_that_never_was(tested, make_link):
    address = make_link(tested)
    VoteLink.objects.update(expires_at=timezone.now())
    reply, unknown = Client().get(address), Client().get("/vote/no-such-link/")
    assert (reply.status_code, reply.content) == (404, unknown.content)


def test_counting_the_votes_ends_the_links(ballot, make_link, as_editor, url):
    address, guest = make_link(ballot), Client()
    guest.post(address, {"start": "1"})
    choose(Voter.objects.get(), 0, "ours")
    votes.reveal(evaluation=ballot)
    assert guest.get(address).status_code == 404
    reply = as_editor.post(url("create_vote_link", ballot.pk), GIVEN)
    assert reply.status_code == 409


def test_before_there_are_answers_there_is_no_link(trained, owner, as_editor, url):
    from tests import journey

    evaluation = journey.begun(trained, owner)
    reply = as_editor.post(url("create_vote_link", evaluation.pk), GIVEN)
    assert reply.status_code == 409
    assert not VoteLink.objects.exists()


@pytest.mark.parametrize("days", ["", "0", "365", "many"])
def test_how_long_it_works_is_one_of_the_choices(tested, as_editor, url, days):
    reply = as_editor.post(url("create_vote_link", tested.pk), GIVEN | {"days": days})
    assert reply.status_code == 422
    assert not VoteLink.objects.exists()


def test_only_editors_of_the_team_make_and_end_links(
    tested, make_link, as_viewer, as_stranger, as_editor, url
):
    make_link(tested)
    link = VoteLink.objects.get()
    create, revoke = (
        url("create_vote_link", tested.pk),
        url("revoke_vote_link", tested.pk, link.pk),
    )
    for address in (create, revoke):
        assert as_viewer.post(address, GIVEN).status_code == 403
        assert as_stranger.post(address, GIVEN).status_code == 404
        assert as_editor.get(address).status_code == 405
        assert Client().post(address, GIVEN).status_code == 302
    assert VoteLink.objects.usable().get() == link


def test_links_are_in_the_audit_log_without_their_secret(tested, make_link, as_editor, url):
    make_link(tested)
    as_editor.post(url("revoke_vote_link", tested.pk, VoteLink.objects.get().pk))
    actions = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    assert list(actions)[-2:] == ["evaluation.vote_link_created", "evaluation.vote_link_revoked"]


def test_a_viewer_sees_the_votes_but_no_links(tested, make_link, as_viewer, as_stranger, url):
    make_link(tested)
    page = as_viewer.get(url("votes", tested.pk)).content.decode()
    assert "What do people say?" in page
    assert "Links that work" not in page
    assert "Create a link" not in page
    assert as_stranger.get(url("votes", tested.pk)).status_code == 404


def test_while_names_are_hidden_the_page_says_nothing_of_the_preference(
    ballot, make_link, as_editor, url
):
    address = make_link(ballot)
    Client().post(address, {"start": "1"})
    for index in range(6):
        choose(Voter.objects.get(), index, "ours")
    page = as_editor.get(url("votes", ballot.pk)).content.decode()
    assert "6 of " in page
    for word in ("people preferred", "That could be chance", "probably"):
        assert word not in page
    votes.reveal(evaluation=ballot)
    page = as_editor.get(url("votes", ballot.pk)).content.decode()
    assert "people preferred the tuned model on 6 of 6 prompts" in page
