"""Commands of the shell that change who may come in, or copy everything, leave a line."""

import pytest
from django.db import DatabaseError

from finetune_app.audit import commands
from finetune_app.core.audit import AuditAction
from tests.audit.lines import new_lines

pytestmark = pytest.mark.django_db


def test_resetting_a_password_names_whose(owner):
    with new_lines() as lines:
        commands.record(["reset_password", owner.email.upper()])
    (line,) = lines
    assert (line.action, line.target) == (AuditAction.PASSWORD_RESET, f"user {owner.pk}")
    assert line.actor_id is None


@pytest.mark.parametrize("words", [[], ["up"], ["migrate"], ["backup", "--help"]])
def test_other_commands_leave_none(words):
    with new_lines() as lines:
        commands.record(words)
    assert lines == []


def test_a_restored_database_without_the_table_is_no_error(monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise DatabaseError("no such table: audit_auditentry")

    monkeypatch.setattr(commands, "record_command", fail)
    commands.record(["restore", "finetune.tar"])
    assert "restore" in caplog.text
