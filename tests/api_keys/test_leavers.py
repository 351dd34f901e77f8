"""The keys of somebody who leaves a team stop working at that moment."""

import pytest

from finetune_app.accounts.models import User
from finetune_app.api_keys import services as api_keys
from tests.accounts.pages import text
from tests.api_keys.api import ask
from tests.conftest import PASSWORD, person


def status(key_text: str) -> int:
    return ask(key_text, "/v1/models", "GET").status_code


@pytest.fixture
def editors_key(team, editor) -> str:
    _key, key_text = api_keys.create_key(team=team, by=editor, name="the mailbox")
    assert status(key_text) == 200
    return key_text


def test_the_key_of_a_removed_member_is_refused(as_owner, editor, editors_key):
    as_owner.post(f"/team/members/{editor.memberships.get().pk}/remove/")
    assert status(editors_key) == 401


def test_the_key_of_somebody_who_leaves_is_refused(as_editor, owner, editors_key):
    as_editor.post("/team/leave/")
    assert status(editors_key) == 401


def test_the_key_of_a_deleted_account_is_refused_and_stays_listed(as_editor, as_owner, editors_key):
    as_editor.post("/account/delete/", {"password": PASSWORD})
    assert status(editors_key) == 401
    assert "the mailbox" in text(as_owner.get("/team/keys/?over=1"))


def test_the_key_of_an_inactive_account_is_refused_until_it_is_active_again(editor, editors_key):
    editor.is_active = False
    editor.save()
    assert status(editors_key) == 401
    editor.is_active = True
    editor.save()
    assert status(editors_key) == 200


def test_the_previous_secret_of_a_rotated_key_is_refused_too(as_editor, owner, editor, team):
    key, before = api_keys.create_key(team=team, by=editor, name="the mailbox")
    api_keys.rotate_key(key=key, by=editor, hours=24)
    assert status(before) == 200
    as_editor.post("/team/leave/")
    assert status(before) == 401


def test_the_secret_that_a_leaver_gave_to_somebody_elses_key_is_refused(
    as_editor, as_owner, owner, editor, team
):
    key, before = api_keys.create_key(team=team, by=owner, name="the mailbox")
    new = as_editor.post(f"/team/keys/{key.pk}/rotate/", {"hours": "24"}).context["text"]
    assert (status(before), status(new)) == (200, 200)
    as_owner.post(f"/team/members/{editor.memberships.get().pk}/remove/")
    assert (status(before), status(new)) == (401, 401)


def test_a_key_with_another_secret_since_goes_on_without_that_of_the_leaver(
    as_editor, owner, editor, team
):
    key, _first = api_keys.create_key(team=team, by=owner, name="the mailbox")
    _key, of_the_editor = api_keys.rotate_key(key=key, by=editor, hours=24)
    _key, of_the_owner = api_keys.rotate_key(key=key, by=owner, hours=168)
    assert (status(of_the_editor), status(of_the_owner)) == (200, 200)
    as_editor.post("/team/leave/")
    assert (status(of_the_editor), status(of_the_owner)) == (401, 200)


def test_the_secret_that_a_deleted_account_gave_is_refused(as_editor, owner, editor, team):
    key, _first = api_keys.create_key(team=team, by=owner, name="the mailbox")
    _key, new = api_keys.rotate_key(key=key, by=editor, hours=0)
    as_editor.post("/account/delete/", {"password": PASSWORD})
    assert status(new) == 401


def test_the_secret_that_an_inactive_account_gave_is_refused(owner, editor, team):
    key, _first = api_keys.create_key(team=team, by=owner, name="the mailbox")
    _key, new = api_keys.rotate_key(key=key, by=editor, hours=0)
    User.objects.filter(pk=editor.pk).update(is_active=False)
    assert status(new) == 401


def test_the_keys_of_others_and_of_other_teams_go_on(as_owner, editor, owner, stranger, team):
    _key, of_the_owner = api_keys.create_key(team=team, by=owner, name="x")
    elsewhere = stranger.teams.get()
    elsewhere.memberships.create(user=editor)
    _key, of_the_editor_elsewhere = api_keys.create_key(team=elsewhere, by=editor, name="y")
    as_owner.post(f"/team/members/{editor.memberships.get(team=team).pk}/remove/")
    assert status(of_the_owner) == 200
    assert status(of_the_editor_elsewhere) == 200


def make_viewer(as_owner, editor) -> None:
    as_owner.post(f"/team/members/{editor.memberships.get().pk}/role/", {"role": "viewer"})


def test_the_keys_of_who_becomes_a_viewer_change_nothing_any_more(as_owner, editor, editors_key):
    make_viewer(as_owner, editor)
    assert status(editors_key) == 200  # a program goes on asking models
    assert ask(editors_key, "/v1/files", "GET").status_code == 403
    assert ask(editors_key, "/v1/fine_tuning/jobs", "GET").status_code == 403


def test_nor_does_a_key_whose_secret_a_viewer_made(as_owner, owner, editor, team):
    key, _first = api_keys.create_key(team=team, by=owner, name="the mailbox")
    _key, new = api_keys.rotate_key(key=key, by=editor, hours=0)
    make_viewer(as_owner, editor)
    assert (status(new), ask(new, "/v1/files", "GET").status_code) == (200, 403)


def test_a_key_with_another_secret_since_goes_on_without_that_of_the_viewer(
    as_owner, owner, editor, team
):
    key, _first = api_keys.create_key(team=team, by=owner, name="the mailbox")
    _key, of_the_editor = api_keys.rotate_key(key=key, by=editor, hours=24)
    _key, of_the_owner = api_keys.rotate_key(key=key, by=owner, hours=168)
    make_viewer(as_owner, editor)
    assert status(of_the_editor) == 401
    assert ask(of_the_owner, "/v1/files", "GET").status_code == 200


def test_a_key_for_files_alone_of_a_viewer_may_do_nothing(as_owner, editor, team):
    api_keys.create_key(team=team, by=editor, name="the mailbox", actions=["files"])
    make_viewer(as_owner, editor)
    assert "may do nothing" in text(as_owner.get("/team/keys/"))


def test_an_owner_who_becomes_an_editor_keeps_the_keys(as_owner, owner, editor, team):
    editor.memberships.update(role="owner")
    _key, of_the_editor = api_keys.create_key(team=team, by=editor, name="the mailbox")
    as_owner.post(f"/team/members/{editor.memberships.get().pk}/role/", {"role": "editor"})
    assert ask(of_the_editor, "/v1/files", "GET").status_code == 200


def test_the_pages_say_so_before(as_owner, as_editor, team):
    person("nils@kettle.example", team)
    assert "API keys they made here stop working" in text(as_owner.get("/team/"))
    assert "as do those whose secret they made" in text(as_owner.get("/team/"))
    assert "API keys you made here stop working" in text(as_editor.get("/team/"))
    assert "API keys you made stop working" in " ".join(
        text(as_editor.get("/account/delete/")).split()
    )
