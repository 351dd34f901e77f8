"""Upgrades a database of the first schema (before the apps were split).

That schema was never released, so its migrations no longer exist. The current tables are created
and every row is copied. `TABLES` and `COLUMNS` list what has been renamed. `manage.py prepare`
makes a backup first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, models, transaction

from finetune_app.jobs.models import ACTIVE
from finetune_app.operations import bulk_edit_upgrade

# A migration that only the first schema had.
LAST_OF_FIRST_SCHEMA = ("datasets", "0008_taken_over")

# table now: table then
TABLES = {
    "api_keys_apikey": "deployment_apikey",
    "basemodels_basemodelchoice": "basemodels_choice",
    "candidates_validationanswer": "candidates_try",
    "checks_finding": "datasets_finding",
    "checks_rowcheck": "datasets_look",
    "evaluation_evaluation_others": "evaluation_evaluation_rivals",
    "evaluation_testsetlook": "evaluation_look",
    "fine_tuning_api_apifile": "deployment_apifile",
    "fine_tuning_api_finetuningjob": "deployment_apijob",
    "imports_savedmapping": "datasets_layout",
    "imports_upload": "datasets_upload",
    "jobs_childrun": "jobs_journal",
    "labelling_draft": "datasets_draft",
    "model_export_modelexport": "exports_export",
    "monitoring_driftcheck": "deployment_drift",
    "playground_publicchat": "deployment_publicchat",
    "request_log_feedback": "deployment_feedback",
    "request_log_hourlyanswers": "deployment_hourpace",
    "request_log_hourlyusage": "deployment_hour",
    "request_log_request": "deployment_request",
    "request_log_retention": "deployment_keeping",
    "request_log_rollupcursor": "deployment_hoursupto",
    "request_log_transcript": "deployment_said",
    "versions_version": "datasets_version",
}
# (table now, column now): column then
COLUMNS = {
    ("alerts_notice", "channel"): "way",
    ("alerts_rule", "check_count"): "looks",
    ("alerts_rule", "checked_at"): "looked_at",
    ("alerts_rule", "consecutive_checks"): "streak",
    ("alerts_rule", "metric"): "what",
    ("api_keys_apikey", "cost_per_month"): "money_a_month",
    ("api_keys_apikey", "requests_per_minute"): "requests_a_minute",
    ("api_keys_apikey", "tokens_per_minute"): "tokens_a_minute",
    ("api_keys_apikey", "tokens_per_month"): "tokens_a_month",
    ("candidates_validationanswer", "candidate_fingerprint"): "recipe",
    ("candidates_validationanswer", "created_at"): "at",
    ("candidates_validationanswer", "example_id"): "row",
    ("candidates_validationanswer", "measure_fingerprint"): "measure",
    ("candidates_validationanswer", "prompt_fingerprint"): "question",
    ("datasets_edit", "removes_rows"): "takes_out",
    ("datasets_edit", "source_import_id"): "brought_id",
    ("datasets_example", "source_import_id"): "brought_by_id",
    ("deployment_release", "canary_percent"): "share",
    ("deployment_release", "promoted_at"): "full_at",
    ("deployment_release", "withdrawn_at"): "taken_back_at",
    ("evaluation_evaluation", "latency_seconds"): "pace",
    ("fine_tuning_api_apifile", "storage_path"): "kept_as",
    ("fine_tuning_api_finetuningjob", "hyperparameters"): "asked",
    ("model_export_modelexport", "format"): "form",
    ("playground_publicchat", "questions_per_day"): "a_day",
    ("playground_publicchat", "questions_per_minute"): "a_minute",
    ("request_log_hourlyanswers", "first_token"): "first",
    ("request_log_hourlyanswers", "latency"): "waited",
    ("request_log_hourlyusage", "busy_seconds"): "busy",
}
# Tables that are created again, or no longer needed.
NOT_COPIED = {"django_migrations", "django_content_type", "auth_permission"}

BEFORE = "before"  # the schema (PostgreSQL) or attached file (SQLite) of the old tables

OLD_COLUMNS = {
    "sqlite": f"""
        SELECT old.name, its.name
        FROM {BEFORE}.sqlite_master AS old, pragma_table_xinfo(old.name, '{BEFORE}') AS its
        WHERE old.type = 'table'
    """,
    "postgresql": f"""
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = '{BEFORE}'
    """,
}


class UpgradeError(Exception):
    """The message says what happened and what to do."""


def is_first_schema() -> bool:
    """Whether the database has the first schema."""
    with connection.cursor() as cursor:
        if "django_migrations" not in connection.introspection.table_names(cursor):
            return False
        cursor.execute(
            "SELECT 1 FROM django_migrations WHERE app = %s AND name = %s", LAST_OF_FIRST_SCHEMA
        )
        return cursor.fetchone() is not None


def upgrade() -> None:
    """Create the current tables and copy every row into them.

    Raises UpgradeError while jobs are queued or running, and for rows that no current table can
    hold; the database is then unchanged.
    """
    _refuse_active_jobs()
    set_aside = _sqlite_file_aside if connection.vendor == "sqlite" else _postgresql_schema_aside
    with set_aside():
        _refuse_to_lose_rows()
        call_command("migrate", verbosity=0, interactive=False)
        with transaction.atomic():
            _copy_rows()


@contextmanager
def _sqlite_file_aside() -> Iterator[None]:
    """Rename the old file and attach it. On errors it is restored."""
    file = Path(connection.settings_dict["NAME"])
    old = file.with_name(f"{file.stem}.before-upgrade{file.suffix}")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    file.rename(old)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"ATTACH DATABASE %s AS {BEFORE}", [str(old)])
        yield
    except BaseException:
        connection.close()
        _delete_sqlite(file)
        old.rename(file)
        raise
    connection.close()
    _delete_sqlite(old)


def _delete_sqlite(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def _postgresql_schema_aside() -> Iterator[None]:
    """Move the old tables into their own schema, in one transaction around everything."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {BEFORE}")
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'ALTER TABLE "{table}" SET SCHEMA {BEFORE}')
        yield
        cursor.execute(f"DROP SCHEMA {BEFORE} CASCADE")


def _copy_rows() -> None:
    old = _old_columns()
    for model in apps.get_models(include_auto_created=True):
        table = model._meta.db_table
        source = TABLES.get(table, table)
        if table not in NOT_COPIED and source in old:
            _copy_table(model, source, old[source])
    if bulk_edit_upgrade.TABLE in old:
        bulk_edit_upgrade.convert(BEFORE)
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), apps.get_models()):
            cursor.execute(statement)


def _old_columns() -> dict[str, set[str]]:
    """The columns of each old table, without the search index that there was."""
    found: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(OLD_COLUMNS[connection.vendor], [])
        for table, column in cursor.fetchall():
            if not table.startswith(("sqlite_", "datasets_words")):
                found.setdefault(table, set()).add(column)
    return found


def _copy_table(model: type[models.Model], source: str, old: set[str]) -> None:
    """Copy all rows in one statement; new columns get their default."""
    quote = connection.ops.quote_name
    table = model._meta.db_table
    columns, values, defaults = [], [], []
    for field in model._meta.concrete_fields:
        if field.generated:
            continue
        column = str(field.column)
        then = COLUMNS.get((table, column), column)
        columns.append(quote(column))
        if then in old:
            values.append(quote(then))
        else:
            values.append("%s")
            defaults.append(field.get_db_prep_save(field.get_default(), connection))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quote(table)} ({', '.join(columns)}) "
            f"SELECT {', '.join(values)} FROM {BEFORE}.{quote(source)}",
            defaults,
        )


def _refuse_active_jobs() -> None:
    """Raises UpgradeError while jobs are active, since their specs are not converted."""
    marks = ", ".join("%s" for _state in ACTIVE)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM jobs_job WHERE state IN ({marks})", [*ACTIVE])
        count = cursor.fetchone()[0]
    if count:
        raise UpgradeError(
            f"{count} jobs wait or run. Start the version that made this data folder, let them end "
            "or stop them, then upgrade again. Nothing was changed."
        )


def _refuse_to_lose_rows() -> None:
    """Raises UpgradeError for rows in a table that no current one takes."""
    now = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    copied = {TABLES.get(table, table) for table in now} | NOT_COPIED | {bulk_edit_upgrade.TABLE}
    with connection.cursor() as cursor:
        for table in sorted(set(_old_columns()) - copied):
            cursor.execute(f"SELECT 1 FROM {BEFORE}.{connection.ops.quote_name(table)} LIMIT 1")
            if cursor.fetchone():
                raise UpgradeError(
                    f"The table {table} of the older database has rows that this version does not "
                    "know. Nothing was changed. Open the data folder with the version that made it."
                )
