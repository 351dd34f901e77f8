"""A team's heavy jobs run for so many hours a month, and its further ones wait for the next."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts import services as accounts
from finetune_app.core.environment import read_all
from finetune_app.jobs import journals, lease, services, team_hours
from finetune_app.jobs.models import ChildRun, Job, State
from finetune_app.jobs.presenters import waiting_headline
from finetune_app.jobs.queue import likely_start, waiting_order
from finetune_app.jobs.team_hours import used_seconds
from tests.conftest import signed_in
from tests.page_text import compact

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _the_20th_of_november(monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.fixture
def ten_hours(monkeypatch):
    monkeypatch.setenv("TEAM_HOURS_A_MONTH", "10")


def new(team, kind="training") -> Job:
    job = services.create(team=team, kind=kind, title="Learn", spec={})
    Job.objects.filter(pk=job.pk).update(queued_at=NOW)
    return Job.objects.get(pk=job.pk)


def ran(job: Job, hours: float, *, until: datetime | None = NOW) -> ChildRun:
    """until: None while it still runs."""
    return ChildRun.objects.create(
        job=job,
        token=1,
        worker="a:1:1",
        child="b:2:2",
        started_at=(until or NOW) - hours * HOUR,
        ended_at=until,
    )


def ended(team, hours: float, **when) -> Job:
    job = new(team)
    ran(job, hours, **when)
    Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED)
    return job


def hours_of(team) -> float:
    return used_seconds([team.pk])[team.pk] / 3600


def test_what_ran_this_month_counts_and_what_runs_now(team, stranger):
    ended(team, 2.5)
    ran(new(team), 1.5, until=None)
    ran(new(team, "import"), 8)  # light
    ended(team, 7, until=NOW - timedelta(days=25))  # in October
    ended(team, 3, until=datetime(2026, 11, 1, 1, tzinfo=UTC))  # an hour of it in November
    ended(stranger.teams.get(), 4)
    assert hours_of(team) == 2.5 + 1.5 + 1
    assert hours_of(stranger.teams.get()) == 4


def test_a_team_without_hours_waits_for_the_next_month(team, stranger, ten_hours):
    ended(team, 9)
    waiting = new(team)
    assert waiting_order(heavy=True) == [waiting.pk]
    ended(team, 1)
    theirs = new(stranger.teams.get())
    assert waiting_order(heavy=True) == [theirs.pk]
    headline = "Waiting for 1 December: your team has used its 10 hours of this month"
    assert waiting_headline(waiting) == headline
    assert likely_start(waiting) is None
    light = new(team, "import")
    assert waiting_order(heavy=False) == [light.pk]


def test_in_the_next_month_it_goes_on(team, ten_hours, monkeypatch):
    ended(team, 12)
    waiting = new(team)
    assert waiting_order(heavy=True) == []
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 12, 1, tzinfo=UTC))
    assert waiting_order(heavy=True) == [waiting.pk]
    assert waiting_headline(waiting) == "About to start"


def test_what_has_begun_ends_even_after_its_worker_died(team, ten_hours, monkeypatch):
    job = lease.take(new(team).pk, worker="a:1:1")
    monkeypatch.setattr(timezone, "now", lambda: NOW + 11 * HOUR)
    ran(job, 11, until=NOW + 11 * HOUR)
    assert lease.release(job) == State.QUEUED
    assert waiting_order(heavy=True) == [job.pk]
    # Stopped and continued by a person it is asked for anew.
    job.refresh_from_db()
    services.ask_stop(job)
    services.ask_continue(job)
    assert waiting_order(heavy=True) == []


def test_without_a_limit_nobody_waits(team):
    ended(team, 600)
    waiting = new(team)
    assert waiting_order(heavy=True) == [waiting.pk]


def test_a_deletion_gives_no_hours_back(team, django_capture_on_commit_callbacks):
    done = ended(team, 2)
    running = new(team)
    ran(running, 3, until=None)
    light = new(team, "import")
    ran(light, 1)
    for job in (done, running, light):
        with django_capture_on_commit_callbacks(execute=True):
            services.discard(job.pk, folder="")
    assert not Job.objects.exists()
    assert hours_of(team) == 5


def test_journals_of_this_month_are_kept_while_they_count(team, settings):
    settings.JOB_LOG_DAYS = 1
    ended(team, 2, until=NOW - timedelta(days=3))
    ended(team, 2, until=NOW - timedelta(days=30))
    journals.delete_old_journals()
    assert hours_of(team) == 2
    assert ChildRun.objects.count() == 1


def test_a_wrong_limit_ends_the_start_with_a_sentence(monkeypatch):
    monkeypatch.setenv("TEAM_HOURS_A_MONTH", "many")
    with pytest.raises(ImproperlyConfigured, match="TEAM_HOURS_A_MONTH is 'many'"):
        read_all()


def test_the_operator_sees_hours_and_limits(team, stranger, ten_hours, monkeypatch):
    monkeypatch.setenv("TEAM_JOBS_AT_ONCE", "2")
    accounts.set_operator(user=stranger, on=True)
    ended(team, 10.5)
    ran(new(team), 1, until=None)
    Job.objects.filter(state=State.QUEUED).update(state=State.RUNNING, started_at=NOW)
    page = compact(signed_in(stranger).get(reverse("operations:overview")))
    assert "its hours are used up" in page
    assert re.search(r"11\.5\s*<small>of 10</small>", page)
    assert re.search(r"1\s*<small>of 2</small>", page)


def test_the_month_is_that_of_utc():
    assert team_hours.month_start() == datetime(2026, 11, 1, tzinfo=UTC)
    assert str(team_hours.next_month()) == "2026-12-01"
