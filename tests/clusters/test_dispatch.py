"""Jobs are handed over once, in our own order, and followed until somebody has taken them."""

import socket
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from finetune_app.accounts.models import Team
from finetune_app.jobs import lease, recovery, services, worker_machines
from finetune_app.jobs.clusters import dispatch
from finetune_app.jobs.clusters.base import Unavailable
from finetune_app.jobs.models import ChildRun, ClusterJob, Job, State, WorkerMachine
from finetune_app.jobs.presenters import place_facts, waiting_headline
from tests.worker.conftest import environment, steps_of


@pytest.fixture(autouse=True)
def known_machine(db) -> None:
    now = timezone.now()
    WorkerMachine.objects.create(host="node", in_cluster=True, reported_at=now)


def rows(job: Job) -> list[ClusterJob]:
    return list(ClusterJob.objects.filter(job=job).order_by("pk"))


def later(seconds: float) -> None:
    """As if all that happened so far had happened `seconds` earlier."""
    for row in ClusterJob.objects.all():
        row.sent_at -= timedelta(seconds=seconds)
        if row.ended_at:
            row.ended_at -= timedelta(seconds=seconds)
        row.save()


def test_a_waiting_job_is_handed_over_once(cluster, new_job):
    job = new_job()
    for _ in range(3):
        dispatch.run_round(cluster)
    [row] = rows(job)
    assert cluster.submitted == [(row.name, [str(job.pk)])]
    assert row.cluster_id == "1"
    assert waiting_headline(job) == "Waiting for the cluster (Slurm says: Resources)"
    assert place_facts(job) == []


def test_light_jobs_are_not_handed_over_and_heavy_ones_need_no_message(
    cluster, new_job, monkeypatch
):
    woken = []
    monkeypatch.setattr(
        services.app, "send_task", lambda _name, args, **_kwargs: woken.extend(args)
    )
    light, _heavy = new_job(kind="count-light"), new_job()
    recovery.send_waiting()
    dispatch.run_round(cluster)
    assert set(woken) == {light.pk}
    assert rows(light) == []


def test_no_more_are_handed_over_than_may_be_there(cluster, new_job, settings):
    """So teams take turns here, not there."""
    settings.CLUSTER_JOBS_AT_ONCE = 2
    ours = [new_job() for _ in range(3)]
    theirs = new_job(team=Team.objects.create(name="Another"))
    dispatch.run_round(cluster)
    assert [arguments for _name, arguments in cluster.submitted] == [
        [str(ours[0].pk)],
        [str(theirs.pk)],
    ]
    cluster.end(rows(theirs)[0].name, "COMPLETED")
    lease.take(theirs.pk, worker="node:1:1")
    dispatch.run_round(cluster)
    assert cluster.submitted[2:] == [(rows(ours[1])[0].name, [str(ours[1].pk)])]


def test_a_cluster_that_is_full_of_ours_is_no_failure(cluster, new_job):
    """Such as one that lets each user submit so many jobs."""
    first = new_job()
    dispatch.run_round(cluster)
    second = new_job()
    cluster.refuses = "Job violates accounting/QOS policy (job submit limit)"
    for _ in range(dispatch.MAX_TRIES + 1):
        dispatch.run_round(cluster)
        later(24 * 3600)
    assert Job.objects.get(pk=second.pk).state == State.QUEUED
    assert rows(second) == []
    cluster.refuses = ""
    cluster.end(rows(first)[0].name, "COMPLETED")
    lease.take(first.pk, worker="node:1:1")
    dispatch.run_round(cluster)
    assert cluster.submitted[-1][1] == [str(second.pk)]


def test_what_waits_there_is_taken_back_when_the_teams_hours_are_used_up(
    cluster, new_job, monkeypatch
):
    job = new_job()
    dispatch.run_round(cluster)
    monkeypatch.setenv("TEAM_HOURS_A_MONTH", "0.001")
    an_hour_ago = timezone.now() - timedelta(hours=1)
    ChildRun.objects.create(job=job, token=9, worker="a", child="b", started_at=an_hour_ago)
    dispatch.run_round(cluster)
    assert cluster.cancelled == [rows(job)[0].name]
    assert len(cluster.submitted) == 1


def test_two_clocks_hand_it_over_once(cluster, new_job, monkeypatch):
    """The other one comes between our look and our row."""
    job = new_job()
    create = dispatch._create_row

    def after_the_other(*given):
        monkeypatch.setattr(dispatch, "_create_row", create)
        dispatch.run_round(cluster)
        return create(*given)

    monkeypatch.setattr(dispatch, "_create_row", after_the_other)
    dispatch.run_round(cluster)
    assert len(cluster.submitted) == len(rows(job)) == 1


def test_an_answer_that_was_lost_is_asked_for(cluster, new_job):
    job = new_job()
    cluster.loses_answers = True
    with pytest.raises(Unavailable):
        dispatch.run_round(cluster)
    assert rows(job)[0].submitted_at is None
    dispatch.run_round(cluster)
    assert rows(job)[0].cluster_id == "1"
    assert len(cluster.submitted) == 1


def test_what_never_arrived_is_sent_again_after_a_minute_by_one_clock(cluster, new_job):
    job = new_job()
    dispatch._create_row(job, "finetune-1-lost")  # then the clock died
    dispatch.run_round(cluster)
    assert cluster.submitted == []
    later(61)
    stale = rows(job)[0]
    dispatch.run_round(cluster)
    dispatch._send_again_if_lost(cluster, stale)  # another clock that saw the same
    assert cluster.submitted == [("finetune-1-lost", [str(job.pk)])]


def test_a_cluster_that_is_away_costs_no_try(cluster, new_job):
    job = new_job()
    cluster.is_away = True
    for _ in range(dispatch.MAX_TRIES + 1):
        with pytest.raises(Unavailable):
            dispatch.run_round(cluster)
        later(61)
    cluster.is_away = False
    dispatch.run_round(cluster)
    assert len(cluster.submitted) == len(rows(job)) == 1


def test_what_it_refuses_is_tried_again_with_growing_pauses_and_then_fails(
    cluster, new_job, monkeypatch
):
    job = new_job()
    cluster.refuses = "invalid partition specified: gpus"
    pauses, started, seconds = [], timezone.now(), 0
    monkeypatch.setattr(timezone, "now", lambda: started + timedelta(seconds=seconds))
    for _ in range(dispatch.MAX_TRIES):
        dispatch.run_round(cluster)
        before, ended = len(rows(job)), seconds
        while len(rows(job)) == before and Job.objects.get(pk=job.pk).state == State.QUEUED:
            seconds += 15
            dispatch.run_round(cluster)
        pauses.append(seconds - ended)
    job.refresh_from_db()
    assert pauses == [15, 60, 240, 960, 0]  # after the fifth it fails
    assert (job.state, job.error_code) == (State.FAILED, "cluster")
    assert job.message.startswith("The cluster did not start this in 5 tries.")
    assert job.detail.count("invalid partition specified: gpus") == 5
    cluster.refuses = ""
    services.ask_continue(job)
    dispatch.run_round(cluster)
    assert len(cluster.submitted) == 1


def test_what_the_cluster_kills_before_it_was_taken_is_tried_again(cluster, new_job):
    job = new_job()
    dispatch.run_round(cluster)
    cluster.end(rows(job)[0].name, "CANCELLED (by the operator)")
    dispatch.run_round(cluster)
    assert rows(job)[0].reason == "CANCELLED (by the operator)"
    assert len(cluster.submitted) == 1
    later(16)
    dispatch.run_round(cluster)
    assert len(cluster.submitted) == 2


def test_one_that_it_has_forgotten_has_ended(cluster, new_job):
    job = new_job()
    dispatch.run_round(cluster)
    cluster.known.clear()
    dispatch.run_round(cluster)
    assert rows(job)[0].reason == "Slurm does not know it any more"


@pytest.mark.parametrize("change", [services.ask_stop, services.cancel, Job.delete])
def test_a_job_that_is_stopped_cancelled_or_deleted_while_it_waits_is_cancelled_there(
    cluster, new_job, change
):
    job = new_job()
    dispatch.run_round(cluster)
    change(job)
    dispatch.run_round(cluster)
    [(name, _arguments)] = cluster.submitted
    assert cluster.cancelled == [name]
    assert not ClusterJob.objects.live().exists()


def test_one_that_cannot_be_cancelled_there_holds_up_no_other(cluster, new_job, monkeypatch):
    stuck = new_job()
    dispatch.run_round(cluster)
    services.cancel(stuck)
    cancel = cluster.cancel

    def forbidden(name: str) -> None:
        raise Unavailable(f"{name} may not be deleted")

    monkeypatch.setattr(cluster, "cancel", forbidden)
    dispatch.run_round(cluster)
    other = new_job()
    dispatch.run_round(cluster)
    assert len(cluster.submitted) == len(ClusterJob.objects.live()) == 2
    monkeypatch.setattr(cluster, "cancel", cancel)
    dispatch.run_round(cluster)
    assert cluster.cancelled == [rows(stuck)[0].name]
    assert ClusterJob.objects.live().get().job == other


def test_stopped_and_continued_before_anybody_looked_it_keeps_its_place_there(cluster, new_job):
    job = new_job()
    dispatch.run_round(cluster)
    services.ask_stop(job)
    services.ask_continue(Job.objects.get(pk=job.pk))
    dispatch.run_round(cluster)
    assert cluster.cancelled == []
    assert len(cluster.submitted) == 1


def test_a_job_that_was_taken_is_left_to_its_run(cluster, new_job):
    job = new_job()
    dispatch.run_round(cluster)
    taken = lease.take(job.pk, worker="node:1:1")
    dispatch.run_round(cluster)
    Job.objects.held_by(taken).update(state=State.SUCCEEDED)
    dispatch.run_round(cluster)
    assert cluster.cancelled == []
    cluster.end(rows(job)[0].name, "COMPLETED")
    dispatch.run_round(cluster)
    assert not ClusterJob.objects.live().exists()
    assert len(cluster.submitted) == 1


def test_a_job_whose_node_died_is_handed_over_at_once(cluster, new_job):
    """Though the cluster still believes that it runs."""
    job = new_job()
    dispatch.run_round(cluster)
    lease.release(lease.take(job.pk, worker="node:1:1"))
    dispatch.run_round(cluster)
    assert cluster.cancelled == [rows(job)[0].name]
    assert len(cluster.submitted) == 2


def test_before_anything_is_known_one_run_reports_a_node(cluster, new_job):
    """What a worker of ours reported a moment ago says nothing of the nodes."""
    WorkerMachine.objects.update(in_cluster=False)
    for _ in range(3):
        dispatch.run_round(cluster)
    assert [arguments for _name, arguments in cluster.submitted] == [["--only-report"]]
    cluster.end(cluster.submitted[0][0], "FAILED")
    dispatch.run_round(cluster)
    assert len(cluster.submitted) == 1  # not again today


def run_job(*arguments: str) -> subprocess.Popen:
    """As a node of the cluster does."""
    return subprocess.Popen(
        [sys.executable, "-m", "worker.run_job", *arguments],
        env={**environment(), "PATH": "/usr/bin:/bin", "HOME": "/tmp", "FINETUNE_LANE": "heavy"},
        cwd=django_settings.BASE_DIR,
    )


def test_a_doubled_cluster_job_finds_nothing_to_do(cluster, new_job):
    job = new_job()
    twins = [run_job(str(job.pk)) for _ in range(2)]
    assert [twin.wait(60) for twin in twins] == [0, 0]
    assert Job.objects.get(pk=job.pk).state == State.SUCCEEDED
    assert ChildRun.objects.filter(job=job).count() == 1
    assert [step for step, _pid, _at in steps_of(job)] == [1, 2, 3, 4]


def test_only_reporting_runs_no_job(cluster, new_job):
    job = new_job()
    WorkerMachine.objects.all().delete()
    assert run_job("--only-report").wait(60) == 0
    assert WorkerMachine.objects.count() == 1
    assert Job.objects.get(pk=job.pk).state == State.QUEUED


def test_a_node_without_a_card_leaves_a_job_that_needs_one(cluster, new_job):
    job = new_job(needs_card=True)
    dispatch.run_round(cluster)
    assert run_job(str(job.pk)).wait(60) == 0
    assert Job.objects.get(pk=job.pk).state == State.QUEUED
    assert "has no graphics card" in rows(job)[0].reason


def test_what_fits_is_judged_by_nodes_for_a_week_and_their_pods_are_one(cluster, db, monkeypatch):
    WorkerMachine.objects.all().delete()
    monkeypatch.setenv("NODE_NAME", "node-7")
    for pod in ("pod-1", "pod-2"):
        monkeypatch.setattr(socket, "gethostname", lambda pod=pod: pod)
        worker_machines.report()
    assert WorkerMachine.objects.get().host == "node-7"
    WorkerMachine.objects.update(reported_at=timezone.now() - timedelta(days=6))
    assert worker_machines.some_report()
    WorkerMachine.objects.update(reported_at=timezone.now() - timedelta(days=8))
    assert not worker_machines.some_report()
