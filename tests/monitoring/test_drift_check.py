"""Drift checks: from the request log to the result on the page."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.candidates import services as candidates
from finetune_app.core.errors import PlainError
from finetune_app.deployment import services as deployments
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.monitoring import drift
from finetune_app.monitoring.drift_limits import MIN_PROMPTS
from finetune_app.monitoring.models import DriftCheck
from finetune_app.monitoring.periodic_tasks import start_drift_checks
from finetune_app.request_log import recording, retention
from finetune_app.request_log.models import Request, RollupCursor, Transcript
from finetune_app.request_log.periodic_tasks import delete_expired, delete_old_requests
from finetune_app.training.models import Training
from tests import journey
from tests.example_rows import pair
from tests.factories import _endpoint, _remote_training
from tests.worker.conftest import supervise
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job as Work
from worker.drift import run

OVENS = ["How long does the {} bake?", "Which heat for the {}?", "Is the {} done at noon?"]
DISHES = ["gratin", "bread", "quiche", "cake", "pizza"]


@pytest.fixture
def storing(live, owner):
    return retention.change(deployment=live, by=owner, on=True)


@pytest.fixture
def asked(live, storing):
    """asked([...]) records a request with each prompt."""

    def record(prompts: list[str]) -> None:
        for prompt in prompts:
            recording.record(
                key=None,
                deployment=live,
                release=live.current,
                model=live.name,
                prompt_tokens=9,
                tokens=3,
                answer="order_status",
                status=200,
                seconds=0.5,
                messages=[{"role": "user", "content": prompt}],
            )

    return record


def like_the_training(count: int) -> list[str]:
    return [pair(n % 60)[0] for n in range(count)]


def about_ovens(count: int) -> list[str]:
    return [OVENS[n % 3].format(DISHES[n % 5]) for n in range(count)]


def work(found: DriftCheck, meanwhile: Callable[[], object] | None = None) -> DriftCheck:
    """Run its job in this process, and store the result. `meanwhile` is done before that."""
    job = found.job
    child = handler_for(job).child_spec(job)
    result = run.run(Work(job.kind, child.folder, child.spec), RecordingChannel())
    if meanwhile:
        meanwhile()
    journey.set_state(job, State.SUCCEEDED, result=result)
    handler_for(Job.objects.get(pk=job.pk)).finish(Job.objects.get(pk=job.pk), result)
    found.refresh_from_db()
    return found


def test_similar_prompts_are_no_drift(live, asked, as_viewer, url):
    asked(like_the_training(60))
    found = work(drift.start(deployment=live))
    assert not found.drifted
    assert drift.separable_percent(live) == 50.0
    page = as_viewer.get(url("monitoring:page")).content.decode()
    assert "It is asked what it learned: no difference is to be seen." in page


def test_other_prompts_are_drift_and_the_least_similar_are_shown(live, asked, as_editor, url):
    asked([*like_the_training(10), "Wann fährt die letzte Tram?", *about_ovens(40)])
    found = work(drift.start(deployment=live))
    assert found.drifted
    assert drift.separable_percent(live) > 75
    page = as_editor.get(url("monitoring:page")).content.decode()
    assert "It is asked other things than it learned from." in page
    assert "Wann fährt die letzte Tram?" in page
    assert "bake" in page  # a new word
    odd = Transcript.objects.get(prompt__startswith="Wann")
    assert url("request_log:request", request_id=odd.pk) in page
    assert "add it to the dataset" in page


def test_results_are_charted_from_the_second_on(live, asked, as_viewer, url):
    asked(like_the_training(60))
    first = work(drift.start(deployment=live))
    assert "chart-drift" not in as_viewer.get(url("monitoring:page")).content.decode()
    asked(about_ovens(40))
    second = work(drift.start(deployment=live))
    page = as_viewer.get(url("monitoring:page")).content.decode()
    assert f"{first.auc_percent} were told apart at first" in page
    assert f"{second.auc_percent} at last" in page
    assert second.auc_percent > first.auc_percent
    assert page.index(f">{second.auc_percent}</td>") < page.index(f">{first.auc_percent}</td>")


def test_a_check_that_fails_leaves_the_last_result_on_the_page(live, asked, as_viewer, url):
    asked(like_the_training(60))
    good = work(drift.start(deployment=live))
    failed = drift.start(deployment=live)
    journey.set_state(failed.job, State.FAILED, error_code="crash", message="Out of memory.")
    page = as_viewer.get(url("monitoring:page")).content.decode()
    assert "It is asked what it learned: no difference is to be seen." in page
    assert "The last comparison did not work." in page
    assert "Out of memory." in page
    assert drift.history(live, live.current) == ([good], failed)


def test_neither_the_job_nor_the_result_contains_a_prompt(live, asked):
    asked([*like_the_training(30), "Wann fährt die letzte Tram?", *about_ovens(20)])
    found = work(drift.start(deployment=live))
    assert (found.job.spec, Job.objects.get(pk=found.job_id).result) == ({}, {})
    stored = str(DriftCheck.objects.values().get())
    assert "Tram" not in stored  # a word of one person
    retention.delete_all_texts(live)
    found.refresh_from_db()
    assert (found.new_words, found.odd) == ([], [])
    assert found.drifted  # figures stay


def test_a_model_from_a_platform_is_compared_with_what_it_learned(goal, owner, team):
    learned = journey.freeze(goal, owner)
    training = _remote_training(goal, learned, owner)
    training.endpoint = _endpoint(team, owner)
    training.save()
    candidate = candidates.remotely_tuned_candidate(training=training)
    release = deployments.go_live(goal=goal, candidate=candidate, by=owner)
    journey.freeze(goal, owner, count=80)
    assert drift.reference_version_id(release.deployment, release) == learned.pk


def test_words_are_deleted_when_texts_expire(live, asked, storing):
    asked(about_ovens(40))
    found = work(drift.start(deployment=live))
    assert found.new_words
    DriftCheck.objects.update(created_at=timezone.now() - timedelta(days=storing.days, minutes=1))
    delete_expired()
    found.refresh_from_db()
    assert found.new_words == []


def test_words_of_texts_that_are_deleted_while_they_are_compared_are_not_stored(live, asked):
    asked(about_ovens(40))

    def delete_and_go_on() -> None:
        retention.delete_all_texts(live)
        asked(about_ovens(5))

    found = work(drift.start(deployment=live), delete_and_go_on)
    assert found.drifted
    assert (found.new_words, found.odd) == ([], [])


def test_words_are_deleted_with_old_requests(live, asked, settings):
    """Also where the texts would be kept for longer."""
    asked(about_ovens(40))
    found = work(drift.start(deployment=live))
    settings.REQUEST_LOG_DAYS = 7
    Request.objects.update(at=timezone.now() - timedelta(days=8))
    DriftCheck.objects.update(created_at=timezone.now() - timedelta(days=8))
    RollupCursor.objects.update_or_create(defaults={"until": timezone.now()})
    delete_old_requests()
    found.refresh_from_db()
    assert not Transcript.objects.exists()
    assert found.new_words == []


def test_a_deleted_prompt_is_no_longer_shown(live, asked, as_viewer, url):
    asked([*like_the_training(30), "Wann fährt die letzte Tram?"])
    found = work(drift.start(deployment=live))
    assert drift.odd_prompts(found)[0].transcript.prompt.startswith("Wann")
    retention.delete_text(drift.odd_prompts(found)[0].transcript.request)
    assert "Tram" not in as_viewer.get(url("monitoring:page")).content.decode()


def test_too_few_prompts_are_refused(live, asked, as_editor, url):
    asked(about_ovens(MIN_PROMPTS - 1))
    with pytest.raises(PlainError, match="29 live prompts are kept; it takes 30"):
        drift.start(deployment=live)
    assert (
        "29 live prompts are kept so far" in as_editor.get(url("monitoring:page")).content.decode()
    )
    assert as_editor.post(url("monitoring:drift")).status_code == 409


def test_without_stored_texts_the_page_says_why(live, as_viewer, url):
    assert "only where texts are kept" in as_viewer.get(url("monitoring:page")).content.decode()


def test_an_editor_starts_a_check_and_the_page_polls(live, asked, as_editor, editor, url):
    asked(about_ovens(40))
    assert as_editor.post(url("monitoring:drift")).url == url("monitoring:page") + "#drift"
    found = DriftCheck.objects.get()
    assert found.by == editor
    assert as_editor.post(url("monitoring:drift")).status_code == 409  # one at a time
    part = as_editor.get(url("monitoring:drift"), headers={"HX-Request": "true"}).content.decode()
    assert "The prompts are being compared." in part
    assert "every 3s" in part
    work(found)
    part = as_editor.get(url("monitoring:drift"), headers={"HX-Request": "true"}).content.decode()
    assert "every 3s" not in part
    assert "It is asked other things than it learned from." in part
    assert (
        as_editor.get(url("monitoring:drift")).url == url("monitoring:page") + "#drift"
    )  # without JavaScript


def test_permissions_to_start_a_drift_check(live, asked, as_viewer, as_stranger, client, url):
    asked(about_ovens(40))
    assert as_viewer.post(url("monitoring:drift")).status_code == 403
    assert as_stranger.post(url("monitoring:drift")).status_code == 404
    assert as_stranger.get(url("monitoring:drift")).status_code == 404
    assert client.post(url("monitoring:drift")).status_code in (302, 403)
    assert not DriftCheck.objects.exists()


def test_the_clock_starts_a_check_once_a_day_if_there_are_new_prompts(live, asked):
    start_drift_checks()
    assert not DriftCheck.objects.exists()  # too few
    asked(about_ovens(40))
    start_drift_checks()
    work(DriftCheck.objects.get())
    start_drift_checks()
    assert DriftCheck.objects.count() == 1
    DriftCheck.objects.update(created_at=timezone.now() - timedelta(days=1, minutes=1))
    asked(about_ovens(drift.MIN_NEW_PROMPTS - 1))
    start_drift_checks()
    assert DriftCheck.objects.count() == 1  # too few new ones
    asked(about_ovens(1))
    start_drift_checks()
    assert DriftCheck.objects.count() == 2


def test_the_clock_starts_none_while_paused_or_without_stored_texts(live, asked, owner):
    asked(about_ovens(40))
    live.paused_at = timezone.now()
    live.save()
    start_drift_checks()
    live.paused_at = None
    live.save()
    retention.change(deployment=live, by=owner, on=False)
    start_drift_checks()
    assert not DriftCheck.objects.exists()


def test_another_training_starts_a_new_check_and_hides_old_results(live, asked, goal, owner):
    asked(about_ovens(40))
    work(drift.start(deployment=live))
    version = journey.freeze(goal, owner, count=70)
    Training.objects.update(version=version)
    live.refresh_from_db()
    assert drift.newest(live) is None
    assert drift.separable_percent(live) is None
    start_drift_checks()
    assert DriftCheck.objects.first().version == version


def test_deleting_a_deployment_deletes_its_checks_and_their_jobs(
    live, asked, django_capture_on_commit_callbacks
):
    asked(about_ovens(40))
    found = work(drift.start(deployment=live))
    with django_capture_on_commit_callbacks(execute=True):
        live.delete()
    assert not DriftCheck.objects.exists()
    assert not Job.objects.filter(pk=found.job_id).exists()


@pytest.mark.django_db(transaction=True)
def test_a_check_runs_in_a_child_process(live, asked):
    asked([*like_the_training(10), *about_ovens(40)])
    found = drift.start(deployment=live)
    job = supervise(found.job)
    assert (job.state, job.detail) == (State.SUCCEEDED, "")
    found.refresh_from_db()
    assert found.drifted
    assert (found.learned, found.live) == (drift.count_reference_prompts(found.version), 50)
