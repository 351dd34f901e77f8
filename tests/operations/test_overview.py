"""The operator's page: who uses what; operators alone, and without what people wrote."""

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts import services as accounts
from finetune_app.accounts.models import Team, User
from finetune_app.jobs.models import ChildRun, Job, State
from finetune_app.operations import overview, usage
from finetune_app.operations.usage import teams_page
from tests.conftest import signed_in
from tests.factories import build_world
from tests.page_text import compact

PAGE = reverse("operations:overview")


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch):
    monkeypatch.setattr(overview, "engine_status", lambda: None)


@pytest.fixture
def operator(stranger) -> User:
    """Of another team than the one whose work is looked at."""
    accounts.set_operator(user=stranger, on=True)
    return stranger


@pytest.fixture
def as_operator(operator):
    return signed_in(operator)


def job_of(team, **fields) -> Job:
    return Job.objects.create(**{"team": team, "kind": "train", "title": "secret words"} | fields)


def test_others_find_nothing_here(as_owner, as_stranger):
    assert as_owner.get(PAGE).status_code == 404
    assert as_stranger.get(PAGE).status_code == 404


def test_it_is_in_the_menu_of_operators_alone(as_owner, as_operator):
    home = reverse("guide:home")
    assert PAGE in as_operator.get(home).content.decode()
    assert PAGE not in as_owner.get(home).content.decode()


def test_each_team_with_what_it_uses(as_operator, team, owner, goal):
    world = build_world(team, owner)
    (found,) = [one for one in teams_page().teams if one.team == team]
    assert found.members == 1 + (world.member.user != owner)
    assert found.goals == team.goals.count()
    assert found.rows == world.goal.dataset.examples.count()
    assert found.trainings == world.goal.trainings.count()
    assert team.name in compact(as_operator.get(PAGE))


def test_files_of_all_kinds_are_added_up(team, owner, monkeypatch):
    world = build_world(team, owner)
    before = usage.usage_of([_counted(team)])[0].file_bytes
    world.document.size += 1000
    world.document.save()
    world.export.size += 2000
    world.export.save()
    assert usage.usage_of([_counted(team)])[0].file_bytes == before + 3000


def _counted(team: Team) -> Team:
    team.member_count = 1
    return team


def test_what_people_wrote_is_not_on_it(as_operator, team, owner):
    world = build_world(team, owner)
    job_of(team)
    page = compact(as_operator.get(PAGE))
    assert "secret words" not in page
    assert world.goal.name not in page


def test_running_and_waiting_jobs_of_all_teams(as_operator, team):
    running = job_of(team, state=State.RUNNING, worker="host-a-b:1:2", started_at=timezone.now())
    waiting = job_of(team)
    page = as_operator.get(PAGE)
    assert page.context["running"] == [running]
    assert page.context["waiting"] == [waiting]
    assert reverse("operations:stop_job", args=[running.pk]) in compact(page)


def test_failures_of_the_last_week_without_their_traceback(as_operator, team):
    job_of(
        team,
        state=State.FAILED,
        ended_at=timezone.now(),
        error_code="out_of_memory",
        detail="Traceback: a prompt",
    )
    job_of(team, state=State.FAILED, ended_at=timezone.now() - timezone.timedelta(days=8))
    page = as_operator.get(PAGE)
    assert len(page.context["failures"]) == 1
    assert "out_of_memory" in compact(page)
    assert "a prompt" not in compact(page)


def test_hosts_are_those_whose_workers_ran_something(as_operator, team):
    job = job_of(team)
    for worker in ("gpu-box-1a2b-4026:10:5", "gpu-box-1a2b-4026:11:6", "desk-77-4026:3:4"):
        ChildRun.objects.create(job=job, token=1, worker=worker, child="c")
    hosts = as_operator.get(PAGE).context["hosts"]
    assert [(host.name, host.runs) for host in hosts] == [("desk", 1), ("gpu-box", 2)]


def test_a_clock_or_worker_that_is_silent_is_named(as_operator, monkeypatch):
    monkeypatch.setattr(overview.alive, "is_alive", lambda name: name != "heavy")
    page = compact(as_operator.get(PAGE))
    assert "heavy is silent" in page
    assert "clock is silent" not in page


def test_few_queries_however_many_teams(as_operator, owner, django_assert_max_num_queries):
    for n in range(12):
        build = Team.objects.create(name=f"Team {n}")
        job_of(build, state=State.RUNNING, started_at=timezone.now())
    as_operator.get(PAGE)  # the first request of a session records it
    with django_assert_max_num_queries(26):
        assert as_operator.get(PAGE).status_code == 200


def test_teams_have_pages(as_operator, monkeypatch):
    monkeypatch.setattr(usage, "PAGE_SIZE", 2)
    made = [Team.objects.create(name=f"Team {n}").pk for n in range(3)]
    seen, after = [], 0
    while after is not None:
        page = teams_page(after)
        seen += [one.team.pk for one in page.teams]
        after = page.next_after
    assert seen == sorted(Team.objects.values_list("pk", flat=True))
    assert set(made) <= set(seen)
