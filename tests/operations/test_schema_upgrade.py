"""manage.py prepare carries a database of the first schema over, with every row in it.

data/first_schema.sql is what the last commit with that schema wrote for one goal that went all
six steps (tests/factories.py as it was then).
"""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from finetune_app.operations.schema_upgrade import COLUMNS, TABLES

pytestmark = pytest.mark.no_database

FIRST_SCHEMA = Path(__file__).parent / "data" / "first_schema.sql"
OPEN_PAGES = """
import django; django.setup()
from django.conf import settings
from django.test import Client
from finetune_app.accounts.models import User
from finetune_app.goals.models import Goal
settings.ALLOWED_HOSTS += ["testserver"]
mara = User.objects.get(email="mara@kettle.example")
client = Client()
client.force_login(mara)
goal = Goal.objects.get()
for page in ("", "dataset/", "dataset/versions/", "training/", "evaluation/", "instructions/",
             "documents/", "chat/", "deployment/", "deployment/monitor/", "deployment/requests/"):
    reply = client.get(f"/goals/{goal.pk}/{page}", follow=True)
    print(page or "goal", reply.status_code)
"""


def manage(data_dir: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DATA_DIR": str(data_dir), "DATABASE_URL": "", "DEBUG": "1"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=settings.BASE_DIR,
        env=environment | {"DJANGO_SETTINGS_MODULE": "finetune_app.settings"},
        capture_output=True,
        text=True,
    )


def write_first_schema(data_dir: Path) -> Path:
    """Its database."""
    file = data_dir / "finetune.sqlite3"
    with sqlite3.connect(file) as database:
        database.executescript(FIRST_SCHEMA.read_text())
    database.close()
    return file


@pytest.fixture
def first_schema(tmp_path) -> Path:
    """A data folder with a database of the first schema."""
    write_first_schema(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Upgraded:
    """An upgraded data folder. Its database had a bulk edit, and was half way through another."""

    data_dir: Path
    file: Path
    rows_before: int
    prepared: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory) -> Upgraded:
    data_dir = tmp_path_factory.mktemp("first_schema")
    file = write_first_schema(data_dir)
    with sqlite3.connect(file) as database:
        database.execute(
            'INSERT INTO datasets_sweep (edit_id, first, last, numbers, before, "after") '
            """VALUES (1, 1, 5, '1-3 5', '{"status": "approved"}', '{"status": "draft"}')"""
        )
        database.execute(
            """UPDATE datasets_edit SET todo = '{"do": "sweep", "numbers": "4-6 9", "next": 5}' """
        )
    database.close()
    before = count_rows(file)
    prepared = manage(data_dir, "manage.py", "prepare", "--without-starter")
    assert prepared.returncode == 0, prepared.stderr
    return Upgraded(data_dir, file, before, prepared)


def rows(database: Path, query: str) -> list[tuple]:
    with sqlite3.connect(database) as opened:
        return opened.execute(query).fetchall()


def test_every_row_is_carried_over_and_its_pages_open(upgraded):
    assert "Carrying the older database over." in upgraded.prepared.stdout
    assert list((upgraded.data_dir / "backups").glob("*.tar.gz"))
    # In the place of the bulk edit there is a change for each of its four examples.
    assert count_rows(upgraded.file) == upgraded.rows_before - 1 + 4
    opened = manage(upgraded.data_dir, "-c", OPEN_PAGES)
    assert opened.returncode == 0, opened.stderr
    assert {line.split()[-1] for line in opened.stdout.splitlines()} == {"200"}


def test_a_bulk_edit_becomes_a_change_for_each_example(upgraded):
    changed = rows(
        upgraded.file,
        "SELECT number FROM datasets_change AS change JOIN datasets_example AS example "
        """ON example.id = example_id WHERE change.after = '{"status": "draft"}' ORDER BY 1""",
    )
    assert changed == [(1,), (2,), (3,), (5,)]
    ((todo,),) = set(rows(upgraded.file, "SELECT todo FROM datasets_edit WHERE id = 1"))
    assert json.loads(todo) == {"do": "bulk_edit", "numbers": [6, 9], "next": 5}


YOUNGER = ("account_", "audit_", "core_", "mfa_", "socialaccount_", "usersessions_")


def test_every_column_has_a_place():
    """All but the running total of a large dataset, which is counted now. Rooms that are younger
    than that schema have none there."""
    database = sqlite3.connect(":memory:")
    database.executescript(FIRST_SCHEMA.read_text())
    left = {}
    for model in apps.get_models(include_auto_created=True):
        table = model._meta.db_table
        if table.startswith(YOUNGER):
            continue
        source = TABLES.get(table, table)
        then = {
            name for (name,) in database.execute(f"SELECT name FROM pragma_table_info('{source}')")
        }
        assert then or table not in TABLES, table
        columns = [str(field.column) for field in model._meta.concrete_fields]
        lost = then - {COLUMNS.get((table, column), column) for column in columns}
        if lost:
            left[source] = lost
    assert left == {"datasets_dataset": {"tally"}}


def test_a_second_start_changes_nothing(upgraded):
    again = manage(upgraded.data_dir, "manage.py", "prepare", "--without-starter")
    assert (again.returncode, again.stdout) == (0, "")


def test_rows_that_nothing_takes_stop_it_and_nothing_changes(first_schema):
    file = first_schema / "finetune.sqlite3"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE plugin_notes (id integer)")
        database.execute("INSERT INTO plugin_notes VALUES (1)")
    database.close()
    refused = manage(first_schema, "manage.py", "prepare", "--without-starter")
    assert refused.returncode == 1
    assert "plugin_notes" in refused.stderr
    assert rows(file, "SELECT count(*) FROM datasets_example")[0][0] > 0
    assert rows(file, "SELECT 1 FROM django_migrations WHERE name = '0008_taken_over'")


def test_jobs_that_wait_stop_it(first_schema):
    file = first_schema / "finetune.sqlite3"
    with sqlite3.connect(file) as database:
        database.execute("UPDATE jobs_job SET state = 'queued' WHERE id = 1")
    database.close()
    refused = manage(first_schema, "manage.py", "prepare", "--without-starter")
    assert refused.returncode == 1
    assert "1 jobs wait or run" in refused.stderr
    assert rows(file, "SELECT 1 FROM django_migrations WHERE name = '0008_taken_over'")


def count_rows(file: Path) -> int:
    """Of all tables but the search index, Django's own, and what each start notes."""
    names = rows(
        file,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
        "AND name NOT LIKE 'datasets_words%' AND name NOT LIKE 'django_%' "
        "AND name NOT LIKE 'auth_%' AND name NOT LIKE 'core_%'",
    )
    return sum(rows(file, f'SELECT count(*) FROM "{name}"')[0][0] for (name,) in names)
