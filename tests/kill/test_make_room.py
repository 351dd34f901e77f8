"""A real training makes room for a job of a team that comes first, and loses nothing.

python -m pytest -s -m long tests/kill/test_make_room.py      prints the steps
"""

from collections.abc import Iterator

import pytest

from finetune_app.accounts.models import JobPriority, Team
from finetune_app.jobs import services
from finetune_app.jobs.models import ChildRun, Job, State
from finetune_app.training.models import Training
from tests.kill.conftest import Processes
from tests.kill.real_training import new_training
from tests.starter import needs_starter
from tests.worker.conftest import environment
from tests.worker.counting.handlers import registered

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600), needs_starter]

MOST_SECONDS = 1500.0  # for anything that a slow machine does


@pytest.fixture
def processes(transactional_db) -> Iterator[Processes]:
    """With a lease that is long enough for the start of a training."""
    processes = Processes(**environment() | {"LEASE_SECONDS": "10"})
    processes.start()
    with registered():
        yield processes
    processes.end()


@pytest.fixture
def training(team) -> Training:
    training = new_training(team)
    # It saves after each pass of 12 steps, and when it is asked to.
    training.spec = training.spec | {"epochs": 1, "save_seconds": 3600}
    training.save()
    return training


def row(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def test_a_training_repeats_no_step(processes: Processes, training):
    long = training.job
    processes.wait_for(lambda: row(long).done >= 3, MOST_SECONDS)
    first = Team.objects.create(name="First", job_priority=JobPriority.FIRST)
    spec = {"steps": 5, "pause": 0.05}
    short = services.create(team=first, kind="count-heavy", title="Count", spec=spec)
    processes.until(short, State.PREPARING, State.RUNNING, State.SUCCEEDED, seconds=MOST_SECONDS)
    reached = int(row(long).done)
    processes.wait_for(lambda: row(long).running_at, MOST_SECONDS)
    resumed = int(row(long).result["resumed_at"])  # the first step that was done afterwards
    print(f"made room at step {reached} of {row(long).total:.0f}, went on with step {resumed}")
    done = processes.until(long, State.SUCCEEDED, seconds=MOST_SECONDS)

    runs = list(ChildRun.objects.filter(job=long).order_by("started_at"))
    between = ChildRun.objects.get(job=short)
    assert len(runs) == 2
    assert runs[0].ended_at <= between.started_at <= between.ended_at <= runs[1].started_at
    assert 3 <= reached < done.total
    assert resumed == reached + 1
    assert (done.attempts, done.done) == (1, done.total)
    steps = list(training.points.exclude(loss=None).values_list("step", flat=True))
    assert len(steps) == len(set(steps))
