"""Migrations that this version does not know: the database of a newer one."""

import pytest
from django.core.management import CommandError, call_command
from django.db.migrations.recorder import MigrationRecorder

from finetune_app.core import schema
from finetune_app.operations.management.commands import up


@pytest.fixture
def newer_database(db) -> None:
    MigrationRecorder.Migration.objects.create(app="goals", name="0099_next_year")


def test_a_newer_migration_is_named():
    applied = [("goals", "0001_initial"), ("goals", "0099_next_year")]
    assert schema.unknown_migrations(applied) == ["goals.0099_next_year"]


def test_so_is_one_of_an_app_that_is_not_here_yet():
    assert schema.unknown_migrations([("surveys", "0001_initial")]) == ["surveys.0001_initial"]


def test_a_migration_that_a_library_dropped_is_no_sign():
    assert schema.unknown_migrations([("axes", "0000_long_ago")]) == []


def test_the_database_of_this_version_is_neither_older_nor_newer(db):
    assert not schema.is_behind()
    schema.refuse_newer()


def test_prepare_refuses_the_database_of_a_newer_version(newer_database):
    with pytest.raises(CommandError, match=r"newer version .* goals.0099_next_year"):
        call_command("prepare", without_starter=True)


def test_so_does_the_start(newer_database):
    with pytest.raises(CommandError, match=r"Start that version, or go back"):
        up.prepare()
