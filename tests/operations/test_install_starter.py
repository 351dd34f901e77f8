"""manage.py install_starter: the starter, a measurement; nothing twice, and pages know of it."""

import json
import subprocess
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from finetune_app.basemodels import starter_install
from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.core.files import local_folder
from finetune_app.operations.management.commands import install_starter
from tests import journey
from tests.s3_store import s3_store

FOUND = {"tokens_per_second": 431.0, "peak_memory_bytes": 1_900_000_000, "number_format": "bf16"}
NO_NETWORK = "The starter model could not be fetched. Check the network."


def installed(**options: object) -> str:
    out = StringIO()
    call_command("install_starter", stdout=out, stderr=out, **options)
    return out.getvalue()


@pytest.fixture
def starter(db, data_dir):
    yield journey.install(STARTER)
    (data_dir / f"models/{STARTER}/model.safetensors").unlink(missing_ok=True)


@pytest.fixture
def children(monkeypatch):
    """The processes that install and measure, without their minutes: what each answers in turn.
    Gives what they were asked."""
    asked: list[dict] = []
    answers: list[subprocess.CompletedProcess] = []

    def run(command, **options):
        asked.append({"command": command, **options})
        return answers.pop(0)

    monkeypatch.setattr(install_starter.subprocess, "run", run)
    return asked, answers


def ended(code: int = 0, stdout: str = "", stderr: str = "") -> subprocess.CompletedProcess:
    return subprocess.CompletedProcess([], code, stdout, stderr)


MEASURED = ended(stdout="warming up\n" + json.dumps(FOUND) + "\n")


def test_the_machine_is_measured_once(starter, children):
    asked, answers = children
    journey.write(f"{starter.folder}/model.safetensors", "weights")
    answers.append(MEASURED)
    assert not install_starter.is_done()
    assert "About 431 tokens a second." in installed()
    assert install_starter.is_done()
    assert installed() == ""
    speed = Speed.objects.get()
    assert (speed.base_model, speed.number_format) == (starter, "bf16")
    rows = json.loads(asked[0]["input"])
    assert rows[0][-1]["role"] == "assistant"


def test_a_machine_that_cannot_be_measured_gets_guesses(starter, children):
    journey.write(f"{starter.folder}/model.safetensors", "weights")
    children[1].append(ended(1, stderr="Traceback"))
    assert "guesses for now" in installed()
    assert not Speed.objects.exists()


def test_a_measurement_counts_though_what_comes_after_it_failed(starter, children):
    journey.write(f"{starter.folder}/model.safetensors", "weights")
    children[1].append(ended(1, stdout=MEASURED.stdout, stderr="Traceback"))
    assert "the first training reads them" in installed()
    assert Speed.objects.get().tokens_per_second == 431


def test_one_that_does_not_come_is_said_in_a_sentence(db, children):
    children[1].append(ended(1, stderr=f"a warning\n{NO_NETWORK}\n"))
    with pytest.raises(CommandError, match=f"{NO_NETWORK} Then run this again."):
        installed()
    assert not BaseModel.objects.exists()
    assert starter_install.running() is None


def test_it_keeps_trying_and_pages_say_why(db, data_dir, children, monkeypatch):
    asked, answers = children
    seen = []

    def wait(seconds: float) -> None:
        seen.append(starter_install.running())
        answers.extend([ended(), MEASURED])

    def register() -> BaseModel:
        assert starter_install.running()
        return journey.install(STARTER)

    monkeypatch.setattr(install_starter.time, "sleep", wait)
    monkeypatch.setattr(install_starter.services, "register_starter", register)
    answers.append(ended(1, stderr=NO_NETWORK))
    assert NO_NETWORK in installed(keep_trying=True)
    assert [one.problem for one in seen] == [NO_NETWORK]
    assert [one["command"][6] for one in asked] == ["worker.installs.starter"] * 2 + [
        "worker.training.measure_speed"
    ]
    assert starter_install.running() is None
    assert Speed.objects.get().tokens_per_second == 431


def test_a_later_attempt_does_not_repeat_an_old_problem(db):
    with starter_install.installing() as say:
        say(NO_NETWORK)
    with starter_install.installing():
        assert starter_install.running() == starter_install.StarterInstall("")


def test_a_second_host_gets_the_starter_from_the_shared_store(
    starter, children, settings, monkeypatch, tmp_path
):
    journey.write(f"{starter.folder}/model.safetensors", "weights")
    children[1].append(MEASURED)
    with s3_store(settings, monkeypatch):
        installed()
        settings.DATA_DIR = tmp_path  # nothing is there, and no process is asked for it
        assert install_starter.is_done()
        assert installed() == ""
        assert (local_folder(starter.folder) / "model.safetensors").read_text() == "weights"
