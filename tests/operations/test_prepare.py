"""manage.py prepare: database, starter, a measurement; nothing twice."""

import json
import subprocess
import threading
from io import StringIO

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection

from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.models import Speed
from finetune_app.core.files import local_folder
from finetune_app.operations.management.commands import prepare
from finetune_app.operations.postgres import one_migration_at_a_time
from tests import journey
from tests.s3_store import s3_store
from tests.worker.conftest import wait_for

FOUND = {"tokens_per_second": 431.0, "peak_memory_bytes": 1_900_000_000, "number_format": "bf16"}


def prepared(**options: object) -> str:
    out = StringIO()
    call_command("prepare", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def starter(db, data_dir):
    yield journey.install(STARTER)
    (data_dir / f"models/{STARTER}/model.safetensors").unlink(missing_ok=True)


@pytest.fixture
def measured(starter, monkeypatch):
    """The measuring process, without its minute: what it is given and what it answers."""
    journey.write(f"{starter.folder}/model.safetensors", "weights")
    asked = []

    def run(command, *, input, **options):
        asked.append(json.loads(input))
        return subprocess.CompletedProcess(command, 0, "warming up\n" + json.dumps(FOUND) + "\n")

    monkeypatch.setattr(prepare.subprocess, "run", run)
    return asked


def test_with_nothing_to_do_it_says_nothing(starter):
    assert prepared(without_starter=True) == ""


def test_the_machine_is_measured_once(starter, measured):
    assert "About 431 tokens a second." in prepared()
    assert prepared() == ""
    speed = Speed.objects.get()
    assert (speed.base_model, speed.number_format) == (starter, "bf16")
    assert len(measured) == 1
    assert measured[0][0][-1]["role"] == "assistant"


def test_a_machine_that_cannot_be_measured_gets_guesses(starter, measured, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback")
    monkeypatch.setattr(prepare.subprocess, "run", lambda *args, **options: failed)
    assert "guesses for now" in prepared()
    assert not Speed.objects.exists()


def test_a_starter_that_does_not_come_is_said_in_a_sentence(db, monkeypatch):
    monkeypatch.setattr(prepare.subprocess, "call", lambda *args, **options: 1)
    with pytest.raises(CommandError, match="not there yet"):
        prepared()


def test_an_old_database_is_saved_before_it_changes(starter, goal, monkeypatch):
    called = []
    monkeypatch.setattr(prepare.MigrationExecutor, "migration_plan", lambda self, goals: ["one"])
    monkeypatch.setattr(prepare, "call_command", lambda name, **options: called.append(name))
    said = prepared(without_starter=True)
    assert called == ["backup", "migrate"]
    assert "Backing up before the database changes shape." in said


def test_an_empty_one_is_not(starter, monkeypatch):
    called = []
    monkeypatch.setattr(prepare.MigrationExecutor, "migration_plan", lambda self, goals: ["one"])
    monkeypatch.setattr(prepare, "call_command", lambda name, **options: called.append(name))
    prepared(without_starter=True)
    assert called == ["migrate"]


def test_a_second_host_gets_the_starter_from_the_shared_store(
    starter, measured, settings, monkeypatch, tmp_path
):
    def must_not_be_made(*args: object, **options: object) -> int:
        pytest.fail("it is in the store")

    with s3_store(settings, monkeypatch):
        prepared()
        settings.DATA_DIR = tmp_path
        monkeypatch.setattr(prepare.subprocess, "call", must_not_be_made)
        assert prepared() == ""
        assert (local_folder(starter.folder) / "model.safetensors").read_text() == "weights"


@pytest.mark.skipif(django_settings.ON_SQLITE, reason="of PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_two_hosts_migrate_one_after_the_other(caplog):
    ended = threading.Event()

    def prepare_at_another_host() -> None:
        try:
            prepared(without_starter=True)
        finally:
            connection.close()
            ended.set()

    other = threading.Thread(target=prepare_at_another_host)
    with one_migration_at_a_time():
        other.start()
        wait_for(lambda: "another host prepares this database" in caplog.text)
        assert not ended.is_set()
    other.join(60)
    assert ended.is_set()
