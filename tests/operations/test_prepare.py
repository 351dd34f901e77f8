"""manage.py prepare: database, starter, a measurement; nothing twice."""

import json
import subprocess
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.models import Speed
from finetune_app.operations.management.commands import prepare
from tests import journey

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
