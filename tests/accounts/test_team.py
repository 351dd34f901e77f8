"""The team page: members, and what each role may change."""

import pytest

from finetune_app.accounts.models import Invitation, Membership
from tests.accounts.pages import text


def test_every_member_sees_who_is_in(as_viewer, owner, editor):
    page = text(as_viewer.get("/team/"))
    for person in ("mara@kettle.example", "jonas@kettle.example", "vera@kettle.example"):
        assert person in page


def test_only_an_owner_sees_what_changes_the_team(as_viewer, as_owner, editor):
    assert "/team/invite/" not in text(as_viewer.get("/team/"))
    assert "/team/rename/" not in text(as_viewer.get("/team/"))
    assert "/team/invite/" in text(as_owner.get("/team/"))


def test_another_team_sees_nothing_of_it(as_stranger, owner):
    page = text(as_stranger.get("/team/"))
    assert "Kettle Lane" not in page
    assert "mara@kettle.example" not in page


def test_a_form_acts_on_the_team_it_was_made_for(as_owner, owner):
    """After a switch of teams in another tab, nobody is invited to the wrong team."""
    page = text(as_owner.get("/team/"))
    here = Membership.objects.get(user=owner).team
    assert f"/team/invite/?in_team={here.pk}" in page
    as_owner.post("/teams/new/", {"name": "Another client"})
    for what in ("invite", "rename", "leave"):
        reply = as_owner.post(f"/team/{what}/?in_team={here.pk}", {"role": "editor", "name": "X"})
        assert reply.status_code == 409
        assert "another team in the meantime" in text(reply)
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("address", ["/team/delete/", "/team/hugging-face-jobs/"])
def test_so_does_a_form_that_sends_to_its_own_page(as_owner, owner, address):
    here = Membership.objects.get(user=owner).team
    assert f'action="?in_team={here.pk}"' in text(as_owner.get(address))
    as_owner.post("/teams/new/", {"name": "Another client"})
    reply = as_owner.post(f"{address}?in_team={here.pk}", {"name": here.name, "spending_cap": "9"})
    assert reply.status_code == 409


def test_the_only_owner_is_told_why_the_role_stays(as_owner, owner, editor):
    page = text(as_owner.get("/team/"))
    mine = Membership.objects.get(user=owner)
    assert "the only one, so it stays" in page
    assert f"/team/members/{mine.pk}/role/" not in page


def test_a_local_installation_explains_how_to_let_others_in(as_owner, settings):
    settings.ONLY_THIS_COMPUTER = True
    page = text(as_owner.get("/team/"))
    assert "Only this computer can open the link" in page
    assert "HOST=0.0.0.0 PUBLIC_URL=http://name:8000 make run" in page


def test_a_reachable_installation_does_not(as_owner, settings):
    settings.ONLY_THIS_COMPUTER = False
    assert "Only this computer" not in text(as_owner.get("/team/"))


def test_a_person_without_a_team_is_asked_to_make_one(as_editor, editor):
    editor.memberships.all().delete()
    assert as_editor.get("/team/")["Location"] == "/teams/new/"
    assert as_editor.get("/")["Location"] == "/teams/new/"


def test_other_methods_are_refused(as_owner):
    assert as_owner.post("/team/").status_code == 405
