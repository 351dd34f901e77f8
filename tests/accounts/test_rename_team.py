"""Renaming the team."""


def test_the_owner_renames_it(as_owner, team):
    as_owner.post("/team/rename/", {"name": "  Kettle & Sons "})
    team.refresh_from_db()
    assert team.name == "Kettle & Sons"


def test_a_team_needs_a_name(as_owner, team):
    assert as_owner.post("/team/rename/", {"name": "  "}).status_code == 422
    team.refresh_from_db()
    assert team.name == "Kettle Lane Cycles"


def test_an_editor_and_a_viewer_may_not(as_editor, as_viewer, team):
    for browser in (as_editor, as_viewer):
        assert browser.post("/team/rename/", {"name": "Ours now"}).status_code == 403
    team.refresh_from_db()
    assert team.name == "Kettle Lane Cycles"


def test_another_team_renames_its_own(as_stranger, stranger, team):
    as_stranger.post("/team/rename/", {"name": "Elsewhere"})
    team.refresh_from_db()
    assert team.name == "Kettle Lane Cycles"
    assert stranger.teams.get().name == "Elsewhere"


def test_a_get_request_changes_nothing(as_owner):
    assert as_owner.get("/team/rename/").status_code == 405
