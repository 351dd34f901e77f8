"""Runs in which a candidate suggests answers; a suggestion counts once it is accepted."""

import shutil

import pytest
from django.urls import reverse

from finetune_app.candidates import services as candidates
from finetune_app.candidates import suggestion_runs
from finetune_app.candidates.models import Candidate, SuggestionRun
from finetune_app.core.files import local_folder
from finetune_app.datasets.models import Split, Status, Suggestion
from finetune_app.jobs import services as job_services
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from tests import journey
from tests.factories import World, _endpoint, build_world
from tests.labelling.helpers import add_pending_rows, press_button, row
from tests.worker.conftest import supervise
from tests.worker.engine.tiny_models import make_base


@pytest.fixture
def world(team, owner, monkeypatch) -> World:
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)
    world = build_world(team, owner)
    add_pending_rows(world.goal.dataset, owner, 3, start=200)  # No. 11 to 13
    return world


@pytest.fixture
def address(world):
    def build(name: str = "candidates:suggestions", **ids) -> str:
        return reverse(name, kwargs={"goal_id": world.goal.pk} | ids)

    return build


@pytest.fixture
def data_url(world):
    return lambda name, **ids: reverse(f"labelling:{name}", kwargs={"goal_id": world.goal.pk} | ids)


@pytest.fixture
def run(world, as_owner, address) -> SuggestionRun:
    kept = f"kept-{world.kept.pk}"
    as_owner.post(address(), {"who": kept, "rows": "20"})
    return SuggestionRun.objects.latest("pk")


def record_suggestion(run: SuggestionRun, number: int, text: str) -> None:
    """Record the event of a suggestion, as the child process sends it."""
    example = row(run.goal.dataset, number)
    event = {"event": "suggestion", "row": example.pk, "candidate": run.candidate_id}
    handler_for(run.job).record(run.job, event | {"text": text})


def record_refused(run: SuggestionRun, number: int) -> None:
    """Record that the child process got no suggestion for a row."""
    example = row(run.goal.dataset, number)
    event = {"event": "refused", "row": example.pk, "candidate": run.candidate_id}
    handler_for(run.job).record(run.job, event)


def rows_asked(run: SuggestionRun) -> list[int]:
    spec = handler_for(run.job).child_spec(run.job).spec
    keys = [one["row"] for one in spec["questions"]]
    return [run.goal.dataset.examples.get(pk=key).number for key in keys]


def test_all_candidates_are_offered(as_owner, address, world):
    page = as_owner.get(address()).content.decode()
    for name in ("Tiny", world.kept.name, "Tuned", "Elsewhere"):
        assert name in page
    assert "3 rows wait for an answer." in page


def test_a_model_elsewhere_is_chosen_only_by_whoever_chooses_it(as_owner, goal, owner, team):
    journey.ready(goal, owner)
    remote = candidates.prompt_candidate(
        goal=goal, endpoint=_endpoint(team, owner), instructions="Be brief.", shots=[]
    )
    Candidate.objects.filter(pk=remote.pk).update(saved=True, revision=1)
    add_pending_rows(goal.dataset, owner, 3, start=200)
    page = as_owner.get(reverse("candidates:suggestions", args=[goal.pk]))
    assert page.context["chosen"].startswith("base-")
    assert f"kept-{remote.pk}" in [one.key for one in page.context["remote"]]


def test_starting_a_run_creates_a_job(run, world, as_owner, address):
    assert run.job.kind == "suggest"
    assert run.rows == 3
    assert "Waiting for its turn" in as_owner.get(address()).content.decode()
    as_owner.post(address(), {"who": f"kept-{world.kept.pk}", "rows": "20"})  # a second click
    assert SuggestionRun.objects.latest("pk") == run


@pytest.fixture
def held_out(world):
    """Row No. 12 waits for its answer, in the test."""
    world.goal.dataset.examples.filter(number=12).update(split=Split.TEST)
    return row(world.goal.dataset, 12)


def test_a_row_of_the_test_is_not_asked(held_out, run):
    """A model whose suggestions became the wanted answers would agree with itself."""
    assert run.rows == 2
    spec = handler_for(run.job).child_spec(run.job).spec
    assert [one["row"] for one in spec["questions"]] == [
        row(run.goal.dataset, number).pk for number in (11, 13)
    ]


def test_a_row_that_joined_the_test_meanwhile_gets_no_suggestion(run, held_out):
    record_suggestion(run, 12, "topic: bell")
    assert not Suggestion.objects.exists()


def test_the_page_says_how_many_rows_of_the_test_are_left_out(held_out, as_owner, address):
    page = as_owner.get(address()).content.decode()
    assert "2 rows wait for an answer." in page
    assert "1 more row is kept for the test and gets no suggestion" in page


def test_where_only_rows_of_the_test_wait_nobody_is_asked(world, held_out, as_owner, address):
    world.goal.dataset.examples.filter(number__in=(11, 13)).update(split=Split.TEST)
    page = as_owner.get(address()).content.decode()
    assert "3 more rows are kept for the test and get no suggestion" in page
    assert "Every row already has an answer" not in page
    reply = as_owner.post(address(), {"who": f"kept-{world.kept.pk}", "rows": "20"})
    assert reply.status_code == 422


def test_the_child_gets_prompts_and_no_answers(run, world):
    example = row(world.goal.dataset, 12)
    spec = handler_for(run.job).child_spec(run.job).spec
    asked = {one["row"]: one["messages"] for one in spec["questions"]}
    assert list(asked[example.pk]) == [{"role": "user", "content": example.prompt}]
    assert all(turn["role"] != "assistant" for one in asked.values() for turn in one)
    assert spec["candidate"]["instructions"] == world.kept.instructions
    done = world.goal.dataset.examples.usable().values_list("pk", flat=True)
    assert not set(asked) & set(done)


def test_a_suggestion_is_marked_and_does_not_count(run, as_owner, data_url):
    record_suggestion(run, 11, "topic: bell ")
    page = as_owner.get(data_url("row", number=11)).content.decode()
    assert "topic: bell" in page
    assert f"Suggested by {run.candidate.name}, Tiny." in page
    example = row(run.goal.dataset, 11)
    assert (example.status, example.answer) == (Status.PENDING, "")
    assert "0 rows" not in page


def test_accepting_a_suggestion_approves_the_row(run, as_owner, data_url):
    record_suggestion(run, 11, "topic: bell")
    press_button(as_owner, data_url, run.goal.dataset, 11, do="save", answer="topic: bell")
    assert row(run.goal.dataset, 11).status == Status.APPROVED
    assert Suggestion.objects.get().state == "taken"
    as_owner.post(data_url("undo_last"))
    assert "Suggested by" in as_owner.get(data_url("row", number=11)).content.decode()


def test_skipping_a_suggestion_keeps_no_draft(run, as_owner, owner, data_url):
    record_suggestion(run, 11, "topic: bell")
    press_button(as_owner, data_url, run.goal.dataset, 11, do="skip", answer="topic: bell")
    assert not row(run.goal.dataset, 11).drafts.exists()


def test_a_suggestion_can_be_dismissed(run, as_owner, data_url):
    record_suggestion(run, 11, "topic: bell")
    press_button(as_owner, data_url, run.goal.dataset, 11, do="own", answer="topic: bell")
    page = as_owner.get(data_url("row", number=11)).content.decode()
    assert "topic: bell" not in page


def test_with_labels_a_suggestion_is_matched_to_one(run, as_owner, data_url):
    dataset = run.goal.dataset
    dataset.labels = ["bell", "gears"]
    dataset.save()
    record_suggestion(run, 11, " Bell.\n")
    page = as_owner.get(data_url("row", number=11)).content.decode()
    assert Suggestion.objects.get().answer == "bell"
    assert "suggested" in page


def test_a_new_suggestion_replaces_the_old_one(run):
    record_suggestion(run, 11, "topic: bell")
    record_suggestion(run, 11, "topic: gears")
    assert Suggestion.objects.get().answer == "topic: gears"
    assert suggestion_runs.count_made(run) == 1


def test_a_second_attempt_asks_only_the_remaining_rows(run):
    record_suggestion(run, 11, "topic: bell")
    spec = handler_for(run.job).child_spec(run.job).spec
    assert spec["made"] == 1
    assert len(spec["questions"]) == 2


def test_rows_it_could_not_answer_are_counted_and_asked_last(
    run, world, as_owner, address, monkeypatch
):
    """Too long for it, or cut off: the next run goes on with the other rows."""
    for number in (11, 12):
        record_refused(run, number)
        record_refused(run, number)  # delivered twice
    assert rows_asked(run) == [13]  # a second attempt
    journey.set_state(run.job, State.SUCCEEDED)
    page = as_owner.get(address()).content.decode()
    assert "2 rows it could not answer" in page
    assert "It made no suggestion" in page
    assert "The suggestions are in" not in page
    monkeypatch.setattr(suggestion_runs, "ROW_COUNTS", (2,))
    as_owner.post(address(), {"who": f"kept-{world.kept.pk}", "rows": "2"})
    assert rows_asked(SuggestionRun.objects.latest("pk")) == [13, 11]


def test_another_candidate_is_asked_what_one_could_not_answer(run, world, as_owner, address):
    record_refused(run, 11)
    journey.set_state(run.job, State.SUCCEEDED)
    as_owner.post(address(), {"who": f"base-{world.base_model.pk}", "rows": "20"})
    other = SuggestionRun.objects.latest("pk")
    assert other.candidate_id != run.candidate_id
    assert rows_asked(other) == [11, 12, 13]


def test_an_answered_row_gets_no_suggestion(run, as_owner, data_url):
    press_button(as_owner, data_url, run.goal.dataset, 11, do="save", answer="mine")
    record_suggestion(run, 11, "topic: bell")
    assert not Suggestion.objects.exists()


def test_a_run_can_be_stopped(run, as_owner, address):
    as_owner.post(address("candidates:stop_suggestions"))
    run.job.refresh_from_db()
    assert run.job.state == State.STOPPED
    assert "Stopped" in as_owner.get(address()).content.decode()


def test_a_run_needs_waiting_rows(as_owner, world, address):
    world.goal.dataset.examples.filter(status=Status.PENDING).update(status=Status.SET_ASIDE)
    reply = as_owner.post(address(), {"who": f"kept-{world.kept.pk}", "rows": "20"})
    assert reply.status_code == 422
    assert "No row is waiting for a suggestion" in reply.content.decode()
    assert as_owner.post(address(), {"who": "nobody"}).status_code == 422


def test_a_run_is_deleted_with_its_goal(run, world, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        world.goal.delete()
    assert not Job.objects.filter(pk=run.job_id).exists()


def test_only_editors_can_start_a_run(as_viewer, as_stranger, as_owner, address, world):
    assert as_viewer.get(address()).status_code == 200
    assert as_viewer.post(address(), {"who": "base"}).status_code == 403
    assert as_viewer.post(address("candidates:stop_suggestions")).status_code == 403
    assert as_stranger.get(address()).status_code == 404
    assert as_stranger.post(address("candidates:stop_suggestions")).status_code == 404
    assert as_owner.put(address()).status_code == 405
    assert as_owner.get(address("candidates:stop_suggestions")).status_code == 405
    assert SuggestionRun.objects.count() == 1  # that of the fixture


def test_a_child_process_makes_suggestions(transactional_db, world, run, settings):
    """End to end: job, child process, engine, events, rows. The weights are random, so only
    what holds for any answer is checked."""
    shutil.rmtree(local_folder(world.base_model.folder))
    make_base(settings.DATA_DIR / world.base_model.folder, "llama")
    job = supervise(run.job)
    assert job.state == State.SUCCEEDED, job.detail
    assert (job.done, job.total) == (3, 3)
    assert Suggestion.objects.count() == 3 - job.result["refused"]
    waiting = world.goal.dataset.examples.filter(status=Status.PENDING)
    assert waiting.filter(answer="").count() == 3
