"""Lines of the audit log are added and never changed: in the ORM, and in the database itself."""

import importlib
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from finetune_app.audit.models import MIN_DAYS, AppendOnlyError, AuditEntry
from finetune_app.core.audit import AuditAction

pytestmark = pytest.mark.django_db


def line(**fields) -> AuditEntry:
    given = {"action": AuditAction.SIGNED_IN, "status": 302, "actor_id": 7, "address": "10.1.2.3"}
    return AuditEntry.objects.create(**given | fields)


def test_the_orm_changes_and_deletes_no_line():
    kept = line()
    kept.status = 200
    for attempt in (
        kept.save,
        kept.delete,
        lambda: AuditEntry.objects.update(status=200),
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.bulk_update([kept], ["status"]),
    ):
        with pytest.raises(AppendOnlyError), transaction.atomic():
            attempt()
    assert AuditEntry.objects.get().status == 302


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditentry SET status = 200",
        "UPDATE audit_auditentry SET actor_id = NULL",
        "UPDATE audit_auditentry SET address = '10.9.9.9'",
        "DELETE FROM audit_auditentry",
    ],
)
def test_the_database_refuses_as_well(statement):
    line()
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as c,
    ):
        c.execute(statement)
    kept = AuditEntry.objects.get()
    assert (kept.status, kept.actor_id, kept.address) == (302, 7, "10.1.2.3")


def test_every_column_is_guarded():
    """A column that a migration adds belongs into the triggers, too."""
    migration = importlib.import_module("finetune_app.audit.migrations.0002_append_only")
    guarded = migration.COLUMNS.split(", ")
    assert {*guarded, "address"} == {field.column for field in AuditEntry._meta.fields}


def test_old_lines_end_and_young_ones_stay():
    now = timezone.now()
    line(at=now - timedelta(days=MIN_DAYS + 1))
    young = line(at=now - timedelta(days=MIN_DAYS - 1))
    AuditEntry.objects.delete_older_than(now)  # never those of the last 30 days
    assert list(AuditEntry.objects.all()) == [young]


def test_only_the_network_address_of_a_deleted_person_goes():
    mine, theirs = line(actor_id=7), line(actor_id=8)
    AuditEntry.objects.forget_addresses(7)
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.actor_id, mine.address) == (7, "")
    assert theirs.address == "10.1.2.3"
