"""Real trainings through a real Slurm with two nodes: run, stopped, continued, cancelled, killed.

python -m pytest -s -m long tests/clusters      prints what happened in each cell
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from finetune_app.core.files import names_below
from finetune_app.jobs import services
from finetune_app.jobs.models import ChildRun, ClusterJob, Job, State, WorkerMachine
from finetune_app.jobs.presenters import waiting_headline
from finetune_app.training.models import Training
from tests.clusters.slurm_here import NODES, SlurmHere, needs_slurm, run
from tests.hosts.conftest import Host, s3_server, share, stored_steps, stored_training
from tests.starter import needs_starter
from tests.worker.conftest import wait_for

pytestmark = [
    pytest.mark.long,
    pytest.mark.one_database,
    pytest.mark.timeout(3600),
    needs_starter,
    needs_slurm,
]

# 24 steps; bf16 is slow where the processor has none.
SPEC = {"epochs": 1, "batch_size": 2, "number_format": "fp32"}
MOST_SECONDS = 600.0  # for anything that a slow machine does


@pytest.fixture
def slurm(tmp_path) -> Iterator[SlurmHere]:
    data_dir = tmp_path / "head"  # the same name everywhere; on each node a disk of its own
    slurm = SlurmHere(tmp_path / "slurm", data_dir)
    data_dir.mkdir()
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.end()


@pytest.fixture
def head(slurm, settings, transactional_db, tmp_path) -> Iterator[Host]:
    """The host with the clock, which hands jobs over; no worker runs there."""
    settings.CLUSTER = "slurm"
    with s3_server(f"{slurm.ip}.1") as store:
        shared = share(settings, store, tmp_path / "web")
        host = Host("head", slurm.data_dir, shared | {"CLUSTER": "slurm", "CLUSTER_OPTIONS": "-n1"})
        host.manage("clock")
        yield host
        host.kill()


def restart_clock(head: Host, **environment: str) -> None:
    head.kill()
    head.manager.processes.clear()
    head.manage("clock", **environment)


def row(training: Training) -> Job:
    return Job.objects.get(pk=training.job_id)


def until(training: Training, state: State) -> Job:
    return wait_for(Job.objects.filter(pk=training.job_id, state=state).first, seconds=MOST_SECONDS)


def until_step(training: Training, step: int) -> Job:
    def reached() -> Job | None:
        job = row(training)
        assert job.state not in (State.FAILED, State.SUCCEEDED), (job.message, job.detail)
        return job if job.state == State.RUNNING and job.done >= step else None

    return wait_for(reached, MOST_SECONDS)


def test_a_training_runs_there_is_stopped_continued_and_cancelled(slurm, head, team):
    wait_for(WorkerMachine.objects.exists, MOST_SECONDS)  # before the first job
    training = stored_training(team, **SPEC)
    until_step(training, 4)
    assert row(training).worker.split("-")[0] in NODES
    assert training.points.count() > 3  # the curve on its page
    services.ask_stop(row(training))
    stopped = until(training, State.STOPPED)
    services.ask_continue(stopped)
    job = until(training, State.SUCCEEDED)
    assert ChildRun.objects.filter(job=job).count() == 2
    assert f"{training.folder}/adapter/adapter_model.safetensors" in names_below(training.folder)
    wait_for(lambda: not ClusterJob.objects.live().exists(), MOST_SECONDS)

    for node in NODES:
        run("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    waiting = stored_training(team, **SPEC)
    wait_for(lambda: "Slurm says" in waiting_headline(row(waiting)), MOST_SECONDS)
    print(waiting_headline(row(waiting)))
    assert services.cancel(row(waiting))
    wait_for(lambda: slurm.jobs()[-1][2] == "CANCELLED" or not slurm.jobs("PENDING"), MOST_SECONDS)
    assert not ClusterJob.objects.live().exists()


def test_a_clock_that_dies_before_it_hears_the_answer_submits_once(slurm, head, team, tmp_path):
    wait_for(WorkerMachine.objects.exists, MOST_SECONDS)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sbatch").write_text(
        f'#!/bin/sh\n{shutil.which("sbatch")} "$@" >> {programs}/answers\nkill -9 $PPID\n'
    )
    (programs / "sbatch").chmod(0o700)
    restart_clock(head, PATH=f"{programs}:{os.environ['PATH']}")
    training = stored_training(team, **SPEC)
    wait_for((programs / "answers").exists, MOST_SECONDS)
    wait_for(lambda: head.process("clock").process.poll() is not None)
    handed_over = ClusterJob.objects.get(job=training.job_id)
    assert handed_over.submitted_at is None
    restart_clock(head)
    until_step(training, 2)
    assert [name for _id, name, *_rest in slurm.jobs()].count(handed_over.name) == 1
    assert ClusterJob.objects.filter(job=training.job_id).count() == 1


Kill = Callable[[SlurmHere, Host, Training], None]


def test_whatever_is_killed_the_training_is_finished(slurm, head, team):
    """Nothing that had arrived in the store is learned again, and no two children run at once."""
    wait_for(WorkerMachine.objects.exists, MOST_SECONDS)
    for name, (kill, runs) in CELLS.items():
        training = stored_training(team, **SPEC)
        until_step(training, 4)
        wait_for(lambda training=training: stored_steps(training), MOST_SECONDS)
        before, kept = row(training), max(stored_steps(training))
        killed_at = time.monotonic()
        kill(slurm, head, training)
        if runs > 1:
            wait_until_it_goes_on(training, before.token)
            first = row(training).result["resumed_at"]
            seconds = time.monotonic() - killed_at
            print(
                f"{name}: at step {before.done:.0f}, {kept} in the store; on {node_of(training)} "
                f"after {seconds:.0f} s with step {first:.0f}",
                flush=True,
            )
            assert kept < first
        job = until(training, State.SUCCEEDED)
        if runs == 1:
            print(f"{name}: goes on", flush=True)
        children = list(ChildRun.objects.filter(job=job).order_by("started_at"))
        assert len(children) == runs, name
        for earlier, later in pairwise(children):
            assert earlier.ended_at is not None
            assert earlier.ended_at <= later.started_at, name
        wait_for(lambda: slurm.idle_nodes() == len(NODES), MOST_SECONDS)


def wait_until_it_goes_on(training: Training, token: int) -> None:
    """After the lease with this token."""

    def goes_on() -> bool:
        job = row(training)
        assert job.state != State.FAILED, (job.message, job.detail)
        return job.token > token and job.running_at is not None

    wait_for(goes_on, MOST_SECONDS)


def node_of(training: Training) -> str:
    return row(training).worker.split("-")[0]


def kill_child(slurm: SlurmHere, head: Host, training: Training) -> None:
    slurm.process_on(node_of(training), "worker.child").kill()


def kill_supervisor(slurm: SlurmHere, head: Host, training: Training) -> None:
    slurm.process_on(node_of(training), "worker.run_job").kill()


def kill_slurmd(slurm: SlurmHere, head: Host, training: Training) -> None:
    node = node_of(training)
    slurm.kill_slurmd(node)
    until(training, State.SUCCEEDED)
    slurm.start_slurmd(node)


def kill_node(slurm: SlurmHere, head: Host, training: Training) -> None:
    node = node_of(training)
    slurm.kill_node(node)
    wait_for(lambda: node_of(training) != node, MOST_SECONDS)
    slurm.start_node(node)


def restart_controller(slurm: SlurmHere, head: Host, training: Training) -> None:
    slurm.kill_controller()
    time.sleep(3)
    slurm.start_controller()


def kill_clock(slurm: SlurmHere, head: Host, training: Training) -> None:
    restart_clock(head)


def cancel_as_operator(slurm: SlurmHere, head: Host, training: Training) -> None:
    run("scancel", f"--name={ClusterJob.objects.live().get(job=training.job_id).name}")


def reach_time_limit(slurm: SlurmHere, head: Host, training: Training) -> None:
    cluster_id = ClusterJob.objects.live().get(job=training.job_id).cluster_id
    run("scontrol", "update", f"JobId={cluster_id}", "TimeLimit=1")


# How many children there are in the end.
CELLS: dict[str, tuple[Kill, int]] = {
    "the child": (kill_child, 2),
    "the supervisor": (kill_supervisor, 2),
    "slurmd": (kill_slurmd, 1),
    "the node": (kill_node, 2),
    "slurmctld, restarted": (restart_controller, 1),
    "the clock": (kill_clock, 1),
    "scancel by the operator": (cancel_as_operator, 2),
    "the time limit": (reach_time_limit, 2),
}
