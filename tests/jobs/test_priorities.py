"""Which team's jobs come first is the operator's to say; which of a team's own, its members'."""

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts import services as accounts
from finetune_app.accounts.models import JobPriority, Team
from finetune_app.core.audit import AuditAction
from finetune_app.jobs import lease, services
from finetune_app.jobs.models import Job, State
from finetune_app.jobs.presenters import waiting_facts, waiting_headline
from finetune_app.jobs.queue import can_move_ahead, queue_place, waiting_order
from finetune_app.training.models import Training
from tests.audit.lines import new_lines
from tests.conftest import signed_in
from tests.factories import build_world
from tests.page_text import compact

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_team(db) -> Team:
    return Team.objects.create(name="Another team")


def queue(team, count=1, kind="training") -> list[Job]:
    return [services.create(team=team, kind=kind, title="Learn", spec={}) for _ in range(count)]


def comes(team, priority: JobPriority) -> None:
    accounts.set_job_priority(team=team, priority=priority)
    team.refresh_from_db()


def pks(*jobs: Job) -> list[int]:
    return [job.pk for job in jobs]


# ---- Teams ----


def test_a_team_that_comes_first_is_served_before_all_others(team, other_team):
    ours, theirs = queue(team, 3), queue(other_team, 2)
    comes(other_team, JobPriority.FIRST)
    assert waiting_order(heavy=True) == pks(*theirs, *ours)


def test_a_team_that_works_when_nothing_else_waits_is_served_last(team, other_team):
    ours, theirs = queue(team, 2), queue(other_team, 2)
    comes(team, JobPriority.WHEN_IDLE)
    assert waiting_order(heavy=True) == pks(*theirs, *ours)


def test_teams_of_the_same_priority_take_turns(team, other_team):
    third = Team.objects.create(name="A third team")
    idle = queue(third)
    comes(third, JobPriority.WHEN_IDLE)
    ours, theirs = queue(team, 2), queue(other_team, 2)
    comes(team, JobPriority.FIRST)
    comes(other_team, JobPriority.FIRST)
    assert waiting_order(heavy=True) == pks(ours[0], theirs[0], ours[1], theirs[1], *idle)


def test_light_jobs_keep_the_same_order(team, other_team):
    [ours], [theirs] = queue(team, kind="import"), queue(other_team, kind="import")
    comes(other_team, JobPriority.FIRST)
    assert waiting_order(heavy=False) == pks(theirs, ours)


def test_the_page_says_whose_work_comes_first_and_who_decided_so(team, other_team):
    [ours], _theirs = queue(team), queue(other_team, 2)
    assert waiting_facts(ours) == ["teams take turns"]
    comes(other_team, JobPriority.FIRST)
    assert waiting_headline(ours) == "Waiting: 2 are before it"
    assert waiting_facts(ours) == [
        "another team's work comes first here: who runs Finetune decided so"
    ]
    comes(other_team, JobPriority.WHEN_IDLE)
    assert waiting_headline(ours) == "About to start"
    assert waiting_facts(ours) == ["your team's work comes before that of others"]


# ---- The operator decides ----


@pytest.fixture
def as_operator(stranger):
    accounts.set_operator(user=stranger, on=True)
    return signed_in(stranger)


def set_priority(client, team, value) -> int:
    address = reverse("operations:set_priority", args=[team.pk])
    return client.post(address, {"priority": value}).status_code


def test_an_operator_says_when_a_teams_jobs_are_run(as_operator, stranger, team):
    with new_lines() as lines:
        assert set_priority(as_operator, team, JobPriority.FIRST) == 302
    team.refresh_from_db()
    assert team.job_priority == JobPriority.FIRST
    (line,) = lines
    assert line.action == AuditAction.JOB_PRIORITY_CHANGED
    assert (line.actor_id, line.team_id, line.target) == (stranger.pk, team.pk, f"team {team.pk}")
    page = as_operator.get(reverse("operations:overview"))
    assert f"Jobs of {team} are run: first." in compact(page)


@pytest.mark.parametrize("value", ["", "0", "4", "-1", "first", "1.5", "1" * 30])
def test_a_priority_that_there_is_not_is_refused(as_operator, team, value):
    assert set_priority(as_operator, team, value) == 400
    team.refresh_from_db()
    assert team.job_priority == JobPriority.NORMAL


def test_others_decide_nothing(as_owner, as_stranger, as_operator, team):
    assert set_priority(as_owner, team, JobPriority.FIRST) == 404
    address = reverse("operations:set_priority", args=[team.pk])
    assert as_operator.get(address).status_code == 405
    gone = reverse("operations:set_priority", args=[999_999])
    assert as_operator.post(gone, {"priority": 1}).status_code == 404


# ---- Within a team ----


def test_a_job_that_was_moved_ahead_comes_before_its_teams_others(team, other_team):
    ours, theirs = queue(team, 3), queue(other_team, 2)
    assert services.run_next(ours[2])
    assert waiting_order(heavy=True) == pks(ours[2], theirs[0], ours[0], theirs[1], ours[1])
    services.run_next(ours[1])  # moved last, so it comes first
    assert waiting_order(heavy=True)[0] == ours[1].pk
    assert [can_move_ahead(Job.objects.get(pk=job.pk)) for job in ours] == [True, False, True]


def test_another_teams_turn_is_not_taken_by_it(team, other_team):
    [theirs], ours = queue(other_team), queue(team, 2)
    services.run_next(ours[1])
    assert waiting_order(heavy=True) == pks(theirs, ours[1], ours[0])
    moved = Job.objects.get(pk=ours[1].pk)
    assert queue_place(moved) == 2
    assert waiting_facts(moved) == ["teams take turns", "moved to the front of your team's"]


def test_a_job_that_runs_is_not_moved(team):
    [job] = queue(team)
    lease.take_next(heavy=True, worker="a:1:1")
    assert not services.run_next(job)
    assert not can_move_ahead(Job.objects.get(pk=job.pk))


def test_continued_later_it_stands_at_the_end_again(team):
    first, second = queue(team, 2)
    services.run_next(second)
    services.ask_stop(second)
    assert services.ask_continue(second)
    assert waiting_order(heavy=True) == pks(first, second)


@pytest.fixture
def waiting_training(team, owner) -> Training:
    """The second of its team in the queue."""
    world = build_world(team, owner)
    queue(team)
    job = Job.objects.filter(pk=world.training.job.pk)
    job.update(state=State.QUEUED, ended_at=None, queued_at=timezone.now())
    return Training.objects.get(pk=world.training.pk)


def page_of(training: Training) -> str:
    return reverse("training:detail", args=[training.goal_id, training.number])


def run_next(training: Training) -> str:
    return reverse("goals:run_next", args=[training.goal_id, training.job_id])


def test_an_editor_runs_a_training_next(as_editor, waiting_training):
    page = page_of(waiting_training)
    assert "Run this next" in compact(as_editor.get(page))
    answer = as_editor.post(run_next(waiting_training), {"next": page}, follow=True)
    assert "It is the next one of your team now." in compact(answer)
    assert "Run this next" not in compact(answer)
    assert waiting_order(heavy=True)[0] == waiting_training.job_id


def test_others_do_not(as_viewer, as_stranger, as_owner, waiting_training):
    address = run_next(waiting_training)
    assert as_viewer.post(address).status_code == 403
    assert as_stranger.post(address).status_code == 404
    assert as_owner.get(address).status_code == 405
    assert "Run this next" not in compact(as_viewer.get(page_of(waiting_training)))
    waiting_training.job.refresh_from_db()
    assert waiting_training.job.moved_ahead_at is None


def test_a_job_that_no_longer_waits_says_so(as_owner, waiting_training):
    Job.objects.filter(pk=waiting_training.job_id).update(state=State.RUNNING)
    page = {"next": page_of(waiting_training)}
    answer = as_owner.post(run_next(waiting_training), page, follow=True)
    assert "It no longer waits." in compact(answer)
