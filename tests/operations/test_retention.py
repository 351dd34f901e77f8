"""What grows by itself is deleted when its retention period is over."""

import os
from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.utils import timezone

from finetune_app.audit import periodic_tasks as audit_tasks
from finetune_app.audit.models import AuditEntry
from finetune_app.core.audit import AuditAction
from finetune_app.jobs import journals
from finetune_app.jobs import periodic_tasks as registry
from finetune_app.jobs.models import ChildRun, Job, State
from finetune_app.operations import periodic_tasks
from finetune_app.request_log import periodic_tasks as request_tasks
from finetune_app.request_log.models import Feedback, HourlyUsage, Request, RollupCursor

pytestmark = pytest.mark.django_db


def days_ago(days: float):
    return timezone.now() - timedelta(days=days)


@pytest.mark.parametrize(
    "task",
    [
        request_tasks.delete_old_requests,
        journals.delete_old_journals,
        audit_tasks.delete_old_lines,
        periodic_tasks.delete_expired_sessions,
        periodic_tasks.delete_old_attempts,
    ],
    ids=lambda task: task.__name__,
)
def test_the_clock_runs_each(task):
    assert task in [registered.run for registered in registry.TASKS]


# ---- Requests ----


def request_at(team, days: float) -> Request:
    return Request.objects.create(team=team, model="m", status=200, at=days_ago(days))


@pytest.fixture
def rolled_up(db):
    RollupCursor.objects.update_or_create(defaults={"until": timezone.now()})


def test_old_requests_go_with_their_ratings_and_their_figures_stay(team, settings, rolled_up):
    settings.REQUEST_LOG_DAYS = 180
    old, young = request_at(team, 181), request_at(team, 179)
    Feedback.objects.create(request=old, rating=Feedback.UP)
    HourlyUsage.objects.create(
        team=team,
        at=days_ago(181),
        requests=1,
        failed=0,
        prompt_tokens=1,
        tokens=1,
        busy_seconds=1,
    )
    request_tasks.delete_old_requests()
    assert list(Request.objects.all()) == [young]
    assert not Feedback.objects.exists()
    assert HourlyUsage.objects.exists()


def test_a_request_that_no_rollup_holds_yet_stays(team, settings):
    settings.REQUEST_LOG_DAYS = 1
    request_at(team, 3)
    RollupCursor.objects.update_or_create(defaults={"until": days_ago(4)})
    request_tasks.delete_old_requests()
    assert Request.objects.count() == 1


def test_zero_days_keep_for_ever(team, settings, rolled_up):
    settings.REQUEST_LOG_DAYS = settings.JOB_LOG_DAYS = settings.AUDIT_LOG_DAYS = 0
    request_at(team, 4000)
    AuditEntry.objects.create(action=AuditAction.SET_UP, status=200, at=days_ago(4000))
    request_tasks.delete_old_requests()
    audit_tasks.delete_old_lines()
    journals.delete_old_journals()
    assert Request.objects.count() == 1
    assert AuditEntry.objects.count() == 1


def test_a_negative_number_deletes_nothing(team, settings, rolled_up):
    settings.REQUEST_LOG_DAYS = -1  # no start gets so far: tests/core/test_environment.py
    request_at(team, 4000)
    request_tasks.delete_old_requests()
    assert Request.objects.count() == 1


# ---- Journals of jobs ----


def ended_job(team, days: float, **fields) -> Job:
    given = {"state": State.FAILED, "ended_at": days_ago(days), "detail": "Traceback"}
    return Job.objects.create(team=team, kind="train", **given | fields)


def test_old_journals_go_and_their_jobs_stay(team, settings, data_dir):
    settings.JOB_LOG_DAYS = 90
    old, young = ended_job(team, 91), ended_job(team, 89)
    running = ended_job(team, 91, state=State.RUNNING)
    for job, days in ((old, 91), (young, 89)):
        ChildRun.objects.create(job=job, token=1, worker="w", child="c", ended_at=days_ago(days))
    ChildRun.objects.create(job=running, token=1, worker="w", child="c")
    journals.delete_old_journals()
    assert {run.job for run in ChildRun.objects.all()} == {young, running}
    assert {job.pk: job.detail for job in Job.objects.all()} == {
        old.pk: "",
        young.pk: "Traceback",
        running.pk: "Traceback",
    }


def test_old_log_files_of_jobs_go_and_others_stay(db, settings, data_dir):
    settings.JOB_LOG_DAYS = 90
    logs = data_dir / "logs"
    logs.mkdir(exist_ok=True)
    names = {"job-1.log": 91, "job-2.log": 89, "web.log": 200}
    for name, days in names.items():
        path = logs / name
        path.write_text("a line")
        at = days_ago(days).timestamp()
        os.utime(path, (at, at))
    journals.delete_old_journals()
    left = {name for name in names if (logs / name).exists()}
    for name in left:
        (logs / name).unlink()
    assert left == {"job-2.log", "web.log"}


# ---- Audit log, sessions, failed sign-ins ----


def test_old_lines_of_the_audit_log_go(settings):
    settings.AUDIT_LOG_DAYS = 365
    AuditEntry.objects.create(action=AuditAction.SET_UP, status=200, at=days_ago(366))
    young = AuditEntry.objects.create(action=AuditAction.SET_UP, status=200, at=days_ago(364))
    audit_tasks.delete_old_lines()
    assert list(AuditEntry.objects.all()) == [young]


def test_a_setting_of_few_days_keeps_the_last_thirty(settings):
    settings.AUDIT_LOG_DAYS = 1
    AuditEntry.objects.create(action=AuditAction.SET_UP, status=200, at=days_ago(29))
    audit_tasks.delete_old_lines()
    assert AuditEntry.objects.count() == 1


def test_expired_sessions_go(owner):
    for key, days in (("old", 1), ("new", -1)):
        Session.objects.create(session_key=key, session_data="", expire_date=days_ago(days))
        seen = UserSession.objects.create(
            user=owner, ip="192.0.2.7", user_agent="x", session_key=key
        )
        UserSession.objects.filter(pk=seen.pk).update(last_seen_at=days_ago(30 + days))
    periodic_tasks.delete_expired_sessions()
    assert [session.session_key for session in Session.objects.all()] == ["new"]
    assert [session.session_key for session in UserSession.objects.all()] == ["new"]


def test_failed_sign_ins_go_once_they_lock_nobody_out():
    for name, days in (("old", 1), ("new", 0)):
        tried = AccessAttempt.objects.create(
            username=name, ip_address="192.0.2.7", failures_since_start=1
        )
        AccessAttempt.objects.filter(pk=tried.pk).update(attempt_time=days_ago(days))
    periodic_tasks.delete_old_attempts()
    assert [attempt.username for attempt in AccessAttempt.objects.all()] == ["new"]
