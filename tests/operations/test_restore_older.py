"""A backup is restored over a newer database, whose tables depend on the older ones."""

from pathlib import Path

import pytest
from django.db import connection

pytestmark = pytest.mark.long

NEWER = """
import django; django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE later_note (goal_id bigint REFERENCES goals_goal (id))")
    cursor.execute("INSERT INTO later_note SELECT id FROM goals_goal")
    if connection.vendor == "postgresql":
        cursor.execute("CREATE FUNCTION later_answer() RETURNS int LANGUAGE sql AS 'SELECT 42'")
"""
LATER = """
import django; django.setup()
from django.db import connection
with connection.cursor() as cursor:
    print("later_note" in connection.introspection.table_names(cursor))
"""


@pytest.fixture(scope="module")
def saved(host, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("kept") / "backup.tar.gz"
    host.manage("prepare", "--without-starter")
    host.script("seed")
    host.manage("backup", str(target))
    host.run("-c", NEWER)
    return target


def test_the_newer_tables_are_gone(host, saved):
    host.manage("restore", str(saved), "--force")
    assert host.run("-c", LATER) == "False\n"
    used = host.script("use")
    assert used["goals"] == ["Sort shop emails"]
    assert set(used["pages"].values()) == {200}
    assert host.manage("prepare", "--without-starter") == ""
    host.run("-c", NEWER)  # an upgrade after it can make them again


@pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL")
def test_a_dump_that_fails_changes_nothing(host, saved, tmp_path):
    before = host.script("use")
    host.run("-c", "import django; django.setup(); " + BREAK_OFF, str(tmp_path))
    assert host.script("use") == before


BREAK_OFF = """
import sys, pathlib
from finetune_app.operations import postgres
from finetune_app.operations.errors import BackupError
dump = pathlib.Path(sys.argv[1], "database.dump")
postgres.dump_postgres(dump)
run = postgres._run
def spoiled(tool, arguments):
    run(tool, arguments)
    if tool == "pg_restore":
        with dump.with_name("statements.sql").open("a") as file:
            file.write("SELECT nothing FROM nowhere;")
postgres._run = spoiled
try:
    postgres.replace_postgres(dump)
    sys.exit("it did not fail")
except BackupError as error:
    assert "nowhere" in str(error), error
"""
