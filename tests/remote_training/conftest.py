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
from tests.remote_training.loopback import LoopbackPlatform, running
from tests.remote_training.stub_fireworks import StubFireworks
from tests.remote_training.stub_platform import StubPlatform
from tests.remote_training.stub_together import StubTogether
from tests.remote_training.stub_vertex import StubVertex
from worker import warm_child
from worker.supervise import Supervision

STUBS = {stub.kind: stub for stub in (StubPlatform, StubTogether, StubFireworks, StubVertex)}
on_every_platform = pytest.mark.parametrize("platform", list(STUBS), indirect=True)


@pytest.fixture
def platform(request, settings) -> Iterator[LoopbackPlatform]:
    """One with OpenAI's API, or that of `on_every_platform`."""
    with running(STUBS[getattr(request, "param", "openai")]) as stub:
        settings.ENDPOINTS_ALLOWED = frozenset({stub.place})
        yield stub


@pytest.fixture
def account(platform, team, owner) -> PlatformAccount:
    return PlatformAccount.objects.create(
        team=team,
        platform=platform.kind,
        name="Platform",
        url=platform.url,
        options=platform.options,
        secret=encrypt(platform.secret),
        price=Decimal(5),
        added_by=owner,
    )


@pytest.fixture
def frozen(goal, owner) -> Goal:
    journey.freeze(goal, owner)
    return goal


@pytest.fixture
def start(frozen, account, editor, platform, monkeypatch) -> Callable[..., RemoteTraining]:
    """Starts a training there; no worker is woken."""
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)

    def started(**fields) -> RemoteTraining:
        given = {"goal": frozen, "account": account, "user": editor, "model": platform.model}
        return services.start(**given | fields)

    return started


def step(training: RemoteTraining) -> RemoteTraining:
    """What a worker does when the job is due, which it is made now."""
    Job.objects.filter(pk=training.job_id).update(not_before=None)
    taken = lease.take(training.job_id, worker=process_ids.process_id())
    assert taken is not None, "the job does not wait"
    Supervision(taken, warm_child.new_light_child, threading.Event()).run()
    return RemoteTraining.objects.select_related("job").get(pk=training.pk)
