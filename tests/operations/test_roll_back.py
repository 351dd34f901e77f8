"""Every migration can be taken back and applied again with data present."""

import os
import tarfile
from pathlib import Path

import pytest

from finetune_app.jobs.preflight import lock_installation


@pytest.fixture(scope="module")
def in_use(host):
    host.manage("prepare", "--without-starter")
    host.script("seed")
    return host


@pytest.mark.long
def test_all_rows_survive_the_way_to_the_first_migrations_and_back(in_use):
    done = in_use.script("to_first_migrations")
    before, between, after = done["rows"]
    assert done["apps"] > 20
    assert "alerts.0002_standard_names" in done["back"]
    assert sorted(done["forward"]) == sorted(done["back"])
    # A table that is younger than the first migrations is empty after the way back.
    assert {name: before[name] for name in between} == between
    assert {name: after[name] for name in between} == between
    assert sum(between.values()) > 50
    used = in_use.script("use")
    assert set(used["pages"].values()) == {200}
    assert used["token"] == "a provider's token"


def test_a_backup_without_its_migrations_is_refused(in_use, tmp_path):
    older = tmp_path / "older.tar.gz"
    (tmp_path / "secrets.json").write_text("{}")
    with tarfile.open(older, "w:gz") as archive:
        archive.add(tmp_path / "secrets.json", "secrets.json")
    refused = in_use.attempt("manage.py", "roll_back", str(older))
    assert "does not say which schema it has" in refused.stderr
    assert "restore the backup with it instead" in refused.stderr


def test_while_it_runs_nothing_is_saved_and_nothing_undone(in_use, tmp_path):
    source = tmp_path / "before.tar.gz"
    in_use.manage("backup", str(source))
    folder = in_use.run("-c", "from django.conf import settings; print(settings.RUN_DIR)").strip()
    Path(folder).mkdir(exist_ok=True)
    lock = lock_installation(Path(folder))
    try:
        refused = in_use.attempt("manage.py", "roll_back", str(source))
    finally:
        os.close(lock)
    assert "Finetune is running here. Stop it first" in refused.stderr
    assert not (in_use.data_dir / "backups").exists()
