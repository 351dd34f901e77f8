"""The page of the audit log: owners see the lines of their team, and nobody else's."""

from django.urls import reverse

from finetune_app.api_keys import services as api_keys
from finetune_app.audit.filters import PAGE_SIZE
from finetune_app.audit.models import AuditEntry
from finetune_app.core.audit import AuditAction
from tests.conftest import person, signed_in
from tests.page_text import compact

PAGE = reverse("audit:page")


def line(team, **fields) -> AuditEntry:
    given = {"action": AuditAction.KEY_CREATED, "status": 200, "team_id": team.pk}
    return AuditEntry.objects.create(**given | fields)


def shown(client, query: str = "") -> str:
    response = client.get(PAGE + query)
    assert response.status_code == 200
    return compact(response)


def test_an_owner_sees_who_did_what_to_what_from_where(as_owner, owner, team, goal):
    line(team, actor_id=owner.pk, goal_id=goal.pk, target=f"user {owner.pk}", address="192.0.2.7")
    page = shown(as_owner)
    for words in ("Mara", "created an API key", f"goal {goal.name}", "192.0.2.7"):
        assert words in page


def test_other_teams_lines_are_not_shown(as_owner, stranger):
    line(stranger.teams.get(), address="192.0.2.9")
    assert "192.0.2.9" not in shown(as_owner)


def test_what_another_team_refused_has_no_name(as_stranger, goal):
    """Whoever owns a team sees their own refused attempts, and no name of what they guessed."""
    assert as_stranger.post(reverse("goals:delete", args=[goal.pk])).status_code == 404
    page = shown(as_stranger)
    assert "not done (404)" in page
    assert goal.name not in page


def test_keys_of_another_team_have_no_name(as_owner, team, stranger):
    theirs = api_keys.create_key(team=stranger.teams.get(), by=stranger, name="Their shop")[0]
    line(team, target=f"apikey {theirs.pk}")
    assert "Their shop" not in shown(as_owner)


def test_editors_and_viewers_are_refused(as_editor, as_viewer):
    assert as_editor.get(PAGE).status_code == 403
    assert as_viewer.get(PAGE).status_code == 403


def test_it_is_in_the_menu_of_owners_alone(as_owner, as_editor):
    home = reverse("guide:home")
    assert PAGE in as_owner.get(home).content.decode()
    assert PAGE not in as_editor.get(home).content.decode()


def test_a_refused_attempt_says_so(as_owner, team):
    line(team, status=403)
    assert "not done (403)" in shown(as_owner)


def test_who_and_what_is_gone_is_shown_by_number(as_owner, team):
    line(team, actor_id=999_999, goal_id=888_888, target="apikey 777777")
    page = shown(as_owner)
    assert "somebody who is gone (999999)" in page
    assert "888888, which is gone" in page
    assert "key 777777" in page


def test_a_program_is_named_by_its_key(as_owner, team):
    line(team, key_id=999_999, action=AuditAction.FILE_DELETED)
    assert "a program, key 999999" in shown(as_owner)


def test_lines_of_one_person_or_one_action(as_owner, owner, editor, team):
    line(team, actor_id=owner.pk, address="192.0.2.1")
    line(team, actor_id=editor.pk, address="192.0.2.2")
    line(team, actor_id=editor.pk, address="192.0.2.3", action=AuditAction.KEY_REVOKED)
    theirs = shown(as_owner, f"?person={editor.pk}")
    assert "192.0.2.1" not in theirs
    assert "192.0.2.2" in theirs
    revoked = shown(as_owner, f"?action={AuditAction.KEY_REVOKED.value}")
    assert "192.0.2.2" not in revoked
    assert "192.0.2.3" in revoked


def test_a_filter_that_means_nothing_is_ignored(as_owner, team):
    line(team, address="192.0.2.1")
    assert "192.0.2.1" in shown(as_owner, "?person=eve&action=everything&before=-1")


def test_pages_follow_each_other_without_gap_or_repeat(as_owner, team):
    made = [line(team, address=f"addr-{n}-").address for n in range(PAGE_SIZE + 3)]
    first = as_owner.get(PAGE)
    second = as_owner.get(PAGE + first.context["next"])
    seen = [row.line.address for page in (first, second) for row in page.context["rows"]]
    assert seen == made[::-1]
    assert second.context["next"] == ""


def test_names_are_looked_up_once_a_page(as_owner, team, django_assert_max_num_queries):
    users = [person(f"p{n}@kettle.example", team) for n in range(12)]
    for user in users:
        line(team, actor_id=user.pk)
    as_owner.get("/account/")  # a session's first request notes where it comes from
    with django_assert_max_num_queries(12):
        shown(as_owner)


def test_a_name_is_text_and_never_markup(team, owner):
    owner.name = "<b>Mara</b>"
    owner.save()
    line(team, actor_id=owner.pk)
    page = signed_in(owner).get(PAGE).content.decode()
    assert "<b>Mara</b>" not in page
