"""An operator stops a job of any team, which leaves a line in the team's audit log."""

from django.urls import reverse

from finetune_app.accounts import services as accounts
from finetune_app.core.audit import AuditAction
from finetune_app.jobs.models import Job, State
from tests.audit.lines import new_lines
from tests.conftest import signed_in


def waiting_job(team) -> Job:
    return Job.objects.create(team=team, kind="training")


def stop(job: Job) -> str:
    return reverse("operations:stop_job", args=[job.pk])


def test_a_job_of_another_team_stops(team, stranger):
    accounts.set_operator(user=stranger, on=True)
    job = waiting_job(team)
    with new_lines() as lines:
        assert signed_in(stranger).post(stop(job)).status_code == 302
    job.refresh_from_db()
    assert job.state == State.STOPPED
    (line,) = lines
    assert line.action == AuditAction.JOB_STOPPED
    assert (line.actor_id, line.team_id, line.target) == (stranger.pk, team.pk, f"job {job.pk}")


def test_a_running_job_is_asked_to_stop(team, stranger):
    accounts.set_operator(user=stranger, on=True)
    job = waiting_job(team)
    Job.objects.update(state=State.RUNNING)
    signed_in(stranger).post(stop(job))
    job.refresh_from_db()
    assert (job.state, job.stop_asked) == (State.STOPPING, True)


def test_others_stop_nothing_here(team, as_owner, as_stranger):
    job = waiting_job(team)
    assert as_owner.post(stop(job)).status_code == 404
    assert as_stranger.post(stop(job)).status_code == 404
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_a_job_that_is_gone_is_not_found(stranger):
    accounts.set_operator(user=stranger, on=True)
    gone = reverse("operations:stop_job", args=[999_999])
    assert signed_in(stranger).post(gone).status_code == 404
