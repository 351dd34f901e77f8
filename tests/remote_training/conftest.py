"""A goal with a frozen version, an account on a platform on loopback, and a job that is stepped."""

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from finetune_app.core.encryption import encrypt
from finetune_app.goals.models import Goal
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.remote_training import services
from finetune_app.remote_training.models import PlatformAccount, RemoteTraining
from tests import journey
from tests.remote_training import stub_platform
from tests.remote_training.stub_platform import KEY, StubPlatform
from worker import warm_child
from worker.supervise import Supervision


@pytest.fixture
def platform(settings) -> Iterator[StubPlatform]:
    with stub_platform.running() as stub:
        settings.ENDPOINTS_ALLOWED = frozenset({stub.place})
        yield stub


@pytest.fixture
def account(platform, team, owner) -> PlatformAccount:
    return PlatformAccount.objects.create(
        team=team,
        name="Platform",
        url=platform.url,
        secret=encrypt(KEY),
        price=Decimal(5),
        added_by=owner,
    )


@pytest.fixture
def frozen(goal, owner) -> Goal:
    journey.freeze(goal, owner)
    return goal


@pytest.fixture
def start(frozen, account, editor, monkeypatch) -> Callable[..., RemoteTraining]:
    """Starts a training there; no worker is woken."""
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)

    def started(**fields) -> RemoteTraining:
        given = {"goal": frozen, "account": account, "user": editor, "model": "gpt-4.1-mini"}
        return services.start(**given | fields)

    return started


def step(training: RemoteTraining) -> RemoteTraining:
    """What a worker does when the job is due, which it is made now."""
    Job.objects.filter(pk=training.job_id).update(not_before=None)
    taken = lease.take(training.job_id, worker=process_ids.process_id())
    assert taken is not None, "the job does not wait"
    Supervision(taken, warm_child.new_light_child, threading.Event()).run()
    return RemoteTraining.objects.select_related("job").get(pk=training.pk)
