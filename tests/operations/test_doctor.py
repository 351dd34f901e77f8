"""manage.py doctor: what is fine, and what to look at."""

from collections import namedtuple
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts import services as accounts
from finetune_app.core.machine import Machine
from finetune_app.core.sizes import GB
from finetune_app.jobs.models import Job, State
from finetune_app.operations import overview
from finetune_app.operations.management.commands import doctor
from tests import journey
from tests.conftest import signed_in


def looked_at() -> tuple[str, int]:
    out, code = StringIO(), 0
    try:
        call_command("doctor", stdout=out)
    except SystemExit as left:
        code = int(left.code or 0)
    return out.getvalue(), code


@pytest.fixture
def broker(monkeypatch):
    monkeypatch.setattr(doctor, "broker", lambda: (True, "The broker answers."))


@pytest.fixture
def healthy(db, broker):
    journey.install()


def test_all_is_well(healthy):
    said, code = looked_at()
    assert "LOOK" not in said
    assert code == 0
    assert "0 migrations to apply" in said
    assert "1 base models installed" in said


def test_a_silent_broker_is_told_without_a_traceback(db, settings, tmp_path):
    settings.REDIS_URL = f"redis+socket://{tmp_path}/nobody.sock"
    said, code = looked_at()
    assert "LOOK The broker does not answer." in said
    assert code == 1


def test_a_model_whose_files_are_gone_is_named(healthy, data_dir):
    (data_dir / "models/tiny/config.json").unlink()
    assert "LOOK Tiny: its files are missing in models/tiny." in looked_at()[0]


def test_the_serving_engine_is_reported(healthy, monkeypatch, tmp_path):
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setenv("VLLM", str(program))
    assert f"ok   Base models are served by vLLM ({program})." in looked_at()[0]
    told = {"why_not_vllm": "vLLM does not start with this base model"}
    monkeypatch.setattr(doctor.engine_client, "health_now", lambda _timeout: told)
    assert "LOOK Our own engine serves instead: vLLM does not start" in looked_at()[0]
    told |= {"number_format": "nf4", "why_not_vllm": "A QLoRA adapter answers on other weights"}
    assert "ok   Our own engine serves instead: A QLoRA adapter" in looked_at()[0]
    told |= {"number_format": "int8", "why_not_vllm": "Rounded weights are ours"}
    assert "ok   Our own engine serves instead: Rounded weights" in looked_at()[0]
    monkeypatch.setenv("VLLM", "off")
    assert "ok   vLLM is switched off" in looked_at()[0]
    monkeypatch.setenv("VLLM", "/nowhere/vllm")
    assert "LOOK What VLLM names is no program." in looked_at()[0]


@pytest.mark.parametrize(
    ("version", "is_used", "said"),
    [
        ("2026.4.1", True, "OpenVINO 2026.4.1 is here"),
        ("2026.4.1", False, "OpenVINO is switched off"),
        ("", False, "Without OpenVINO answers take longer"),
    ],
)
def test_whether_openvino_computes_is_said(monkeypatch, version, is_used, said):
    monkeypatch.setattr(doctor, "openvino_version", lambda: version)
    monkeypatch.setattr(doctor, "openvino_is_used", lambda: is_used)
    fine, sentence = doctor.openvino()
    assert fine
    assert sentence.startswith(said)


def test_disk_and_memory_are_said_as_on_the_page_of_operators(healthy, owner, monkeypatch):
    measured = Machine(2, 24 * 1024**3, 12 * 1024**3, 112_400_000_000, None)
    disk = namedtuple("Disk", "total used free")(200 * GB, 87_600_000_000, 112_400_000_000)
    for module in (doctor, overview):
        monkeypatch.setattr(module, "this_machine", lambda _folder: measured)
    monkeypatch.setattr(overview.shutil, "disk_usage", lambda _folder: disk)
    accounts.set_operator(user=owner, on=True)
    page = signed_in(owner).get(reverse("operations:overview")).content.decode()
    said = looked_at()[0]
    assert "112 GB of disk free" in said
    assert "112 GB of 200 GB" in page
    for both in (said, page):
        assert "2 cores, 24 GB of memory" in both
    assert "24 GB of memory." in said


def test_a_job_without_a_living_worker_is_counted(healthy, team):
    fresh = timezone.now()
    Job.objects.create(team=team, kind="training", state=State.RUNNING, heartbeat_at=fresh)
    assert "ok   0 jobs without a living worker." in looked_at()[0]
    old = fresh - timedelta(hours=1)
    Job.objects.create(team=team, kind="training", state=State.RUNNING, heartbeat_at=old)
    assert "LOOK 1 jobs without a living worker." in looked_at()[0]


def test_a_job_that_waits_long_is_told(healthy, team):
    job = Job.objects.create(team=team, kind="training")
    Job.objects.filter(pk=job.pk).update(queued_at=timezone.now() - timedelta(hours=2))
    assert "LOOK The oldest waiting job has waited 120 minutes." in looked_at()[0]


def test_the_database_of_a_newer_version_is_told(healthy):
    MigrationRecorder.Migration.objects.create(app="goals", name="0099_next_year")
    said, code = looked_at()
    assert "LOOK The database was changed by a newer version" in said
    assert code == 1


def test_a_database_behind_on_migrations_is_told_and_not_asked_further(healthy, monkeypatch):
    behind = (False, "2 migrations to apply")
    monkeypatch.setattr(doctor, "database", lambda: behind)
    monkeypatch.setattr(doctor, "models", lambda: pytest.fail("asked for a missing column"))
    assert behind in list(doctor.checks())
