"""The audit log of the whole installation, for operators."""

from django.urls import reverse

from finetune_app.accounts import services as accounts
from finetune_app.audit.models import AuditEntry
from finetune_app.core.audit import AuditAction
from tests.audit.lines import new_lines
from tests.conftest import signed_in
from tests.page_text import compact

PAGE = reverse("operations:audit")


def test_an_operator_sees_lines_of_all_teams_and_of_none(team, stranger, owner):
    accounts.set_operator(user=stranger, on=True)
    AuditEntry.objects.create(
        action=AuditAction.KEY_CREATED, status=200, team_id=team.pk, address="192.0.2.1"
    )
    AuditEntry.objects.create(
        action=AuditAction.SIGN_IN_FAILED, status=422, address="192.0.2.2", target=""
    )
    page = compact(signed_in(stranger).get(PAGE))
    assert "192.0.2.1" in page
    assert "192.0.2.2" in page
    assert "failed to sign in" in page


def test_what_teams_named_themselves_has_a_number_there(team, goal, stranger):
    accounts.set_operator(user=stranger, on=True)
    AuditEntry.objects.create(
        action=AuditAction.GOAL_CREATED, status=302, team_id=team.pk, goal_id=goal.pk
    )
    page = compact(signed_in(stranger).get(PAGE))
    assert f"goal {goal.pk}" in page
    assert goal.name not in page
    assert f"team {team}" in page


def test_owners_of_a_team_find_nothing_here(as_owner):
    assert as_owner.get(PAGE).status_code == 404
    assert as_owner.get(reverse("operations:audit_export")).status_code == 404


def test_all_lines_as_a_file(team, stranger):
    accounts.set_operator(user=stranger, on=True)
    AuditEntry.objects.create(action=AuditAction.KEY_CREATED, status=200, team_id=team.pk)
    with new_lines() as lines:
        response = signed_in(stranger).get(reverse("operations:audit_export") + "?form=jsonl")
    assert b"key.created" in b"".join(response.streaming_content)
    (line,) = lines
    assert (line.action, line.team_id) == (AuditAction.ALL_AUDIT_EXPORTED, None)
