"""A database that is not there ends a command with one sentence that says what to do."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from tests.installation import free_port

PASSWORD = "pump-and-saddle"
NOWHERE = [
    (f"postgres://mara:{PASSWORD}@127.0.0.1:1/finetune", "Start PostgreSQL"),
    ("sqlite:////nowhere/finetune.sqlite3", "Make its folder"),
]
if not settings.ON_SQLITE:
    missing = os.environ["DATABASE_URL"].rpartition("/")[0] + "/finetune_missing"
    NOWHERE.append((missing, '"finetune_missing" does not exist. Start PostgreSQL'))


@pytest.mark.parametrize("command", [["prepare", "--without-starter"], ["up"]])
@pytest.mark.parametrize(("address", "advice"), NOWHERE)
def test_what_to_do_is_said_without_a_traceback(address, advice, command, tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=settings.BASE_DIR,
        env=os.environ
        | {"DATA_DIR": str(tmp_path), "DATABASE_URL": address, "REDIS_URL": ""}
        | {"PORT": str(free_port())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The database cannot be used: ")
    assert advice in done.stderr
    assert "set DATABASE_URL" in done.stderr
    assert done.stderr.count("\n") == 1, "no traceback"
    assert PASSWORD not in done.stderr
