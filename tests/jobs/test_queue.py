"""Teams take turns at the workers, and a job's page says where it stands."""

from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.accounts.models import Team
from finetune_app.jobs import lease, services
from finetune_app.jobs.models import Job, State
from finetune_app.jobs.presenters import place_facts, waiting_facts, waiting_headline
from finetune_app.jobs.queue import likely_start, queue_place, seconds_to_start, waiting_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_team(db) -> Team:
    return Team.objects.create(name="Another team")


def queue(team, count=1, kind="training") -> list[Job]:
    return [services.create(team=team, kind=kind, title="Learn", spec={}) for _ in range(count)]


def take() -> Job:
    job = lease.take_next(heavy=True, worker="a:1:1")
    assert job
    return job


def end(job: Job, *, minutes: float = 1) -> None:
    """It succeeded just now, after so many minutes."""
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(
        state=State.SUCCEEDED, running_at=now - timedelta(minutes=minutes), ended_at=now
    )


def test_nobody_waits_behind_another_teams_fifty_jobs(team, other_team):
    queue(team, 50)
    first = take()
    [theirs] = queue(other_team)
    assert waiting_order(heavy=True)[0] == theirs.pk
    end(first)
    assert take() == theirs


def test_teams_alternate_while_both_have_jobs(team, other_team):
    queue(team, 4)
    queue(other_team, 3)
    teams = []
    while job := lease.take_next(heavy=True, worker="a:1:1"):
        teams.append(job.team_id)
        end(job)
    assert teams == [team.pk, other_team.pk] * 3 + [team.pk]


def test_two_workers_serve_two_teams(team, other_team):
    queue(team, 3)
    queue(other_team, 3)
    assert {take().team, take().team} == {team, other_team}


def test_a_late_job_waits_for_one_of_another_team_at_most(team, other_team):
    """Whoever has worked for hours today does not wait behind fifty short jobs."""
    queue(team)
    end(take(), minutes=600)
    queue(other_team, 50)
    end(take())
    [late] = queue(team)
    assert queue_place(late) == 1
    running = take()
    assert running == late
    [later] = queue(team)
    assert queue_place(later) == 2  # it runs one already
    end(running)
    assert [take().team, take().team] == [other_team, team]


def test_a_turn_of_last_week_counts_as_none(team, other_team):
    [old] = queue(other_team)
    end(take())
    Job.objects.filter(pk=old.pk).update(taken_at=timezone.now() - timedelta(days=8))
    queue(team)
    end(take())
    [ours], [theirs] = queue(team), queue(other_team)
    assert waiting_order(heavy=True) == [theirs.pk, ours.pk]


def test_the_order_that_is_shown_is_the_one_in_which_jobs_are_taken(team, other_team):
    queue(other_team)
    end(take())
    queue(team, 4)
    queue(other_team, 2)
    shown, taken = waiting_order(heavy=True), []
    while job := lease.take_next(heavy=True, worker="a:1:1"):
        taken.append(job.pk)
        end(job)
    assert taken == shown


def test_within_a_team_the_oldest_comes_first(team):
    jobs = queue(team, 3)
    assert waiting_order(heavy=True) == [job.pk for job in jobs]


def test_the_other_lane_takes_no_turn(team, other_team):
    queue(team, 5, kind="import")
    ours, theirs = queue(team), queue(other_team)
    assert waiting_order(heavy=True) == [ours[0].pk, theirs[0].pk]


def test_a_job_that_is_not_due_has_no_place(team):
    [later], [now] = queue(team), queue(team)
    Job.objects.filter(pk=later.pk).update(not_before=timezone.now() + timedelta(hours=1))
    later.refresh_from_db()
    assert (queue_place(later), queue_place(now)) == (0, 1)
    assert place_facts(later) == []
    assert likely_start(later) is None


def test_the_page_says_what_comes_before_and_why(team, other_team):
    ours = queue(team, 3)
    assert waiting_headline(ours[0]) == "About to start"
    assert place_facts(ours[0]) == ["it is next"]
    assert waiting_facts(ours[1]) == []
    theirs = queue(other_team, 2)
    assert [queue_place(job) for job in (*ours, *theirs)] == [1, 3, 5, 2, 4]
    assert waiting_headline(ours[1]) == "Waiting: 2 are before it"
    assert place_facts(theirs[0]) == ["1 is before it"]
    assert waiting_facts(ours[1]) == ["teams take turns"]


def test_the_page_says_when_it_probably_starts(team):
    for _ in range(3):
        queue(team)
        end(take(), minutes=20)
    jobs = queue(team, 3)
    wait = seconds_to_start(jobs[1])
    assert wait == pytest.approx(20 * 60, abs=5)
    assert waiting_facts(jobs[1]) == ["begins in about 20 minutes"]


def test_what_a_training_took_on_a_rented_machine_says_nothing_about_this_one(team):
    """It became a job that no worker here took."""
    now, hours = timezone.now(), timedelta(hours=9)
    rented = queue(team)[0]
    Job.objects.filter(pk=rented.pk).update(
        state=State.SUCCEEDED, running_at=now - hours, ended_at=now
    )
    assert seconds_to_start(queue(team, 2)[1]) is None
    end(take(), minutes=20)
    assert seconds_to_start(queue(team)[0]) == pytest.approx(20 * 60, abs=5)


def test_two_workers_halve_the_wait(team):
    for _ in range(3):
        queue(team)
        end(take(), minutes=20)
    queue(team, 6)
    for _ in range(2):
        running = take()
        Job.objects.filter(pk=running.pk).update(
            state=State.RUNNING,
            running_at=timezone.now() - timedelta(minutes=10),
            done=50,
            total=100,
        )
    last = Job.objects.get(pk=waiting_order(heavy=True)[-1])
    # Ten minutes until one of them ends; then three jobs of twenty minutes on two workers.
    assert seconds_to_start(last) == pytest.approx(60 * (10 + 3 / 2 * 20), abs=10)


def test_a_job_that_does_not_wait_has_no_place(team):
    queue(team)
    running = take()
    assert queue_place(running) == 0
    assert waiting_facts(running) == place_facts(running) == []


# ---- How many of a team run at once ----


@pytest.fixture
def two_at_once(monkeypatch):
    monkeypatch.setenv("TEAM_JOBS_AT_ONCE", "2")


def test_a_team_runs_as_many_as_it_may(team, other_team, two_at_once):
    queue(team, 5)
    first, _second = take(), take()
    assert lease.take_next(heavy=True, worker="a:1:1") is None
    [theirs] = queue(other_team)
    assert take() == theirs
    end(first)
    assert take().team == team
    assert lease.take_next(heavy=True, worker="a:1:1") is None


def test_the_page_says_why_it_waits(team, two_at_once):
    _one, _two, third = queue(team, 3)
    take()
    assert waiting_headline(third) == "Waiting: 1 is before it"
    take()
    assert waiting_headline(third) == "Waiting: your team already runs 2, its limit"
    assert seconds_to_start(third) is None


def test_light_jobs_are_not_counted(team, two_at_once):
    jobs = queue(team, 4, kind="import")
    taken = [lease.take_next(heavy=False, worker="a:1:1") for _ in jobs]
    assert taken == jobs


def test_without_a_limit_a_team_uses_every_worker(team):
    queue(team, 5)
    assert len([take() for _ in range(5)]) == 5
