"""Triggers that refuse to change a line, and to delete one that is younger than 30 days.

Only a network address may be emptied, when a person is deleted. SQLite drops triggers with the
table when a migration remakes it: a migration that alters this table creates them again.
"""

from django.db import migrations

COLUMNS = "id, at, action, status, actor_id, key_id, team_id, goal_id, target, request_id"
REFUSED = "the audit log is append-only"

SQLITE = [
    f"""CREATE TRIGGER audit_no_update BEFORE UPDATE OF {COLUMNS} ON audit_auditentry
    BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END""",
    f"""CREATE TRIGGER audit_no_address BEFORE UPDATE OF address ON audit_auditentry
    WHEN NEW.address <> '' BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END""",
    f"""CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_auditentry
    WHEN OLD.at > strftime('%Y-%m-%d %H:%M:%S', 'now', '-30 days')
    BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END""",
]
POSTGRESQL = [
    f"""CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '{REFUSED}'; END $$""",
    f"""CREATE TRIGGER audit_no_update BEFORE UPDATE OF {COLUMNS} ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_no_address BEFORE UPDATE OF address ON audit_auditentry
    FOR EACH ROW WHEN (NEW.address <> '') EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_auditentry
    FOR EACH ROW WHEN (OLD.at > now() - interval '30 days') EXECUTE FUNCTION audit_refuse()""",
]
TRIGGERS = ("audit_no_update", "audit_no_address", "audit_no_delete")


def create(apps, schema_editor):
    sqlite = schema_editor.connection.vendor == "sqlite"
    for statement in SQLITE if sqlite else POSTGRESQL:
        schema_editor.execute(statement)


def drop(apps, schema_editor):
    sqlite = schema_editor.connection.vendor == "sqlite"
    for name in TRIGGERS:
        schema_editor.execute(f"DROP TRIGGER {name}" + ("" if sqlite else " ON audit_auditentry"))
    if not sqlite:
        schema_editor.execute("DROP FUNCTION audit_refuse()")


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
