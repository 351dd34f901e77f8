"""The audit log as a file, for the owners of a team."""

import csv
import io
import json

import pytest
from django.urls import reverse

from finetune_app.audit import export
from finetune_app.audit.models import AuditEntry
from finetune_app.core.audit import AuditAction
from tests.audit.lines import new_lines


def address(form: str) -> str:
    return reverse("audit:export") + f"?form={form}"


def line(team, **fields) -> AuditEntry:
    given = {"action": AuditAction.KEY_CREATED, "status": 200, "team_id": team.pk}
    return AuditEntry.objects.create(**given | fields)


def text_of(response) -> str:
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


def test_csv_has_all_lines_of_the_team_oldest_first(as_owner, owner, team, stranger, monkeypatch):
    monkeypatch.setattr(export, "BATCH", 2)
    for n in range(5):
        line(team, actor_id=owner.pk, target=f"apikey {n}")
    line(stranger.teams.get(), target="apikey 99")
    rows = list(csv.DictReader(io.StringIO(text_of(as_owner.get(address("csv"))))))
    assert [row["target"] for row in rows] == [f"apikey {n}" for n in range(5)]
    assert rows[0]["email"] == owner.email
    assert rows[0]["action"] == "key.created"


def test_json_lines_say_the_same(as_owner, owner, team):
    made = line(team, actor_id=owner.pk, address="192.0.2.7")
    (row,) = map(json.loads, text_of(as_owner.get(address("jsonl"))).splitlines())
    assert (row["id"], row["person"], row["address"]) == (made.pk, owner.pk, "192.0.2.7")
    assert tuple(row) == export.COLUMNS


def test_formulas_are_written_as_text(as_owner, team, owner):
    owner.email = "=cmd@kettle.example"
    owner.save()
    line(team, actor_id=owner.pk)
    rows = list(csv.DictReader(io.StringIO(text_of(as_owner.get(address("csv"))))))
    assert rows[0]["email"] == "'=cmd@kettle.example"


def test_a_download_is_a_line_itself(as_owner, team, owner):
    with new_lines() as lines:
        text_of(as_owner.get(address("csv")))
    (added,) = lines
    assert (added.action, added.team_id) == (AuditAction.AUDIT_EXPORTED, team.pk)


@pytest.mark.parametrize("form", ["xlsx", "exe"])
def test_there_is_no_other_format(as_owner, form):
    assert as_owner.get(address(form)).status_code == 404


def test_editors_are_refused(as_editor):
    assert as_editor.get(address("csv")).status_code == 403
