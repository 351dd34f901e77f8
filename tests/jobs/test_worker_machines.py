"""The machine that trains is the one whose worker reported it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.core.machine import GraphicsCard, Machine
from finetune_app.core.sizes import MEMORY_GB as GB
from finetune_app.jobs import worker_machines
from finetune_app.jobs.models import WorkerMachine
from finetune_app.jobs.worker_machines import report, training_machine

WEB = Machine(2, 8 * GB, 4 * GB, GB, None, "the web's processor")


@pytest.fixture(autouse=True)
def _web(db, monkeypatch):
    monkeypatch.setattr(worker_machines, "this_machine", lambda folder: WEB)


def reported(host: str, card_free_gb: int, ago: timedelta = timedelta(0)) -> Machine:
    card = GraphicsCard("NVIDIA L4", 24 * GB, card_free_gb * GB)
    machine = Machine(16, 64 * GB, 60 * GB, GB, card, "its processor")
    WorkerMachine.objects.create(
        host=host, machine=machine.as_json(), reported_at=timezone.now() - ago
    )
    return machine


def test_without_a_report_it_is_this_machine():
    assert training_machine() == WEB


def test_another_machine_is_judged_by_what_it_reported():
    assert training_machine() == WEB
    theirs = reported("gpu-box", 20)
    assert training_machine() == theirs


def test_of_several_the_fullest_counts_because_any_may_take_the_job():
    reported("roomy", 22)
    full = reported("full", 6)
    assert training_machine() == full


def test_a_worker_that_has_gone_is_forgotten():
    reported("gone", 20, timedelta(minutes=5))
    assert training_machine() == WEB


def test_a_report_of_another_release_is_left_out():
    WorkerMachine.objects.create(host="old", machine={"cores": 2}, reported_at=timezone.now())
    assert training_machine() == WEB


def test_a_worker_reports_the_machine_it_runs_on():
    report()
    report()
    assert Machine.from_json(WorkerMachine.objects.get().machine) == WEB
    assert training_machine() == WEB
