"""Somebody has prompts answered twice: who may, and what the worker is given."""

import pytest

from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.preferences.models import AnswerPair, PreferenceRun
from tests import journey
from tests.preferences.conftest import press, record, shown_to, side_of, started, text


@pytest.fixture
def form(ready) -> dict:
    return {"who": f"base-{ready.base_choice.base_model_id}", "count": "20"}


def spec_of(run: PreferenceRun) -> dict:
    return handler_for(run.job).child_spec(run.job).spec


def test_the_page_says_what_it_is_for_and_offers_the_newest_tuned_model(
    ready, owner, as_owner, url
):
    journey.trained(ready, owner)
    page = as_owner.get(url("page"))
    assert "both may be right" in text(page)
    assert page.context["chosen"] == "training-1"
    assert [one.kind for one in page.context["options"]] == ["tuned", "base"]


def test_an_editor_starts_a_run_and_a_second_click_starts_no_other(form, as_editor, editor, url):
    for _click in range(2):
        assert as_editor.post(url("page"), form).status_code == 302
    run = PreferenceRun.objects.get()
    assert (run.started_by, run.answer_pairs.count()) == (editor, 20)
    assert run.job.is_heavy
    assert "0 of 20 prompts answered" in text(as_editor.get(url("page")))


def test_the_worker_is_given_prompts_and_no_answers(form, as_owner, url, goal):
    as_owner.post(url("page"), form)
    spec = spec_of(PreferenceRun.objects.get())
    assert (len(spec["prompts"]), spec["made"], spec["temperature"]) == (20, 0, 0.9)
    assert all(turn["role"] != "assistant" for one in spec["prompts"] for turn in one["messages"])


def test_who_is_asked_has_to_exist_and_there_has_to_be_a_prompt(form, as_owner, url, goal):
    assert as_owner.post(url("page"), {"who": "nobody"}).status_code == 422
    goal.dataset.examples.update(split="test")
    reply = as_owner.post(url("page"), form)
    assert reply.status_code == 422
    assert "There is no prompt to ask" in text(reply)
    assert not PreferenceRun.objects.exists()


def test_an_odd_number_of_prompts_is_eighty(form, as_owner, url):
    as_owner.post(url("page"), form | {"count": "7777777"})
    assert 20 < PreferenceRun.objects.get().answer_pairs.count() <= 80


def test_a_continued_run_asks_only_the_rest(ready, owner):
    run = started(ready, owner)
    for one in run.answer_pairs.all()[:5]:
        record(run, one)
    spec = spec_of(run)
    assert (spec["made"], len(spec["prompts"])) == (5, 15)


def test_an_event_that_arrives_twice_or_late_changes_nothing(run, as_owner, url):
    found = shown_to(as_owner, url)
    record(run, found, first="other", second="texts")
    found.refresh_from_db()
    assert found.first.startswith("good")
    press(as_owner, url, found, side_of(found, "good"))
    record(run, found, first="other", second="texts")
    found.refresh_from_db()
    assert (found.state, found.first[:4]) == (AnswerPair.State.CHOSEN, "good")


def test_what_was_left_out_is_said(ready, owner, as_owner, url):
    run = started(ready, owner)
    first, second, third, *rest = run.answer_pairs.select_related("example")
    for one, why in ((first, "same"), (second, "no_answer")):
        event = {"event": "skipped", "pair": one.pk, "why": why}
        handler_for(run.job).record(run.job, event)
    third.example.dataset.examples.filter(pk=third.example_id).update(split="test")
    assert len(spec_of(run)["prompts"]) == 17
    for one in rest:
        record(run, one)
    journey.end(run.job)
    page = text(as_owner.get(url("page")))
    assert "17 of 17 prompts answered" in page
    assert "On 1 prompt it gave the same answer again and again" in page
    assert "On 1 prompt there are no two whole answers" in page
    assert "1 prompt was changed, or is kept back for the test now." in page


def test_another_run_deletes_what_nobody_chose_on(run, ready, owner, as_owner, url):
    found = shown_to(as_owner, url)
    press(as_owner, url, found, side_of(found, "good"))
    again = started(ready, owner)
    assert list(run.answer_pairs.all()) == [found]
    assert again.answer_pairs.count() == 20


def test_whoever_watches_gets_the_progress_and_the_button_with_the_first_answers(
    ready, owner, as_owner, url
):
    run = started(ready, owner)
    seen = as_owner.get(url("page")).context["seen_now"]
    watching = {"HX-Request": "true", "HX-Target": "live"}
    live = as_owner.get(url("page") + f"?seen={seen}", headers=watching).content.decode()
    assert "<html" not in live
    assert "hx-swap-oob" not in live
    record(run, run.answer_pairs.first())
    live = as_owner.get(url("page") + f"?seen={seen}", headers=watching).content.decode()
    assert "1 prompt waits for your choice" in " ".join(live.split())


def test_a_run_is_stopped_and_continued(ready, owner, as_editor, url):
    run = started(ready, owner)
    assert as_editor.post(url("continue")).status_code == 409
    as_editor.post(url("stop"))
    assert Job.objects.get(pk=run.job_id).state == State.STOPPED
    assert "Continue" in text(as_editor.get(url("page")))
    as_editor.post(url("continue"))
    assert Job.objects.get(pk=run.job_id).state == State.QUEUED


def test_a_failed_run_says_why(ready, owner, as_owner, url):
    run = started(ready, owner)
    journey.set_state(run.job, State.FAILED, message="The model is broken.")
    assert "The model is broken." in text(as_owner.get(url("page")))


def test_only_editors_start_stop_and_continue(form, ready, owner, as_viewer, as_stranger, url):
    started(ready, owner)
    assert as_viewer.get(url("page")).status_code == 200
    assert as_viewer.post(url("page"), form).status_code == 403
    assert as_stranger.get(url("page")).status_code == 404
    assert as_stranger.post(url("page"), form).status_code == 404
    for name in ("stop", "continue"):
        assert as_viewer.post(url(name)).status_code == 403
        assert as_stranger.post(url(name)).status_code == 404
    assert PreferenceRun.objects.count() == 1


def test_other_methods_are_refused(as_owner, url):
    assert as_owner.put(url("page")).status_code == 405
    for name in ("stop", "continue"):
        assert as_owner.get(url(name)).status_code == 405
        assert as_owner.post(url(name)).status_code == 404  # nothing was started


def test_a_run_goes_with_its_goal_and_its_files(
    ready, owner, data_dir, django_capture_on_commit_callbacks
):
    run = started(ready, owner)
    folder = handler_for(run.job).child_spec(run.job).folder
    assert folder.is_dir()
    with django_capture_on_commit_callbacks(execute=True):
        ready.delete()
    assert not Job.objects.filter(pk=run.job_id).exists()
    assert not AnswerPair.objects.exists()
    assert not folder.exists()


def test_a_deleted_row_takes_its_answers_with_it(run):
    one = run.answer_pairs.first()
    one.example.delete()
    assert not AnswerPair.objects.filter(pk=one.pk).exists()
