"""A judge is asked: interrupted, continued, over a bad connection, and without telling its key."""

import itertools
import logging
import time

import pytest

from finetune_app.jobs.models import Job, State
from finetune_app.judging import services
from finetune_app.judging.models import JudgeAnswer
from finetune_app.providers import client
from tests import fake_provider
from tests.judging import planted_judges
from tests.judging.conftest import attempt, start
from tests.judging.planted_judges import as_model
from worker.channel import UserError


@pytest.fixture
def run(tested, platform, endpoint, wanted):
    """A good judge, about to be asked."""
    platform.reply_to = as_model(planted_judges.good(wanted))
    return start(tested, endpoint)


def questions(platform) -> list[str]:
    """What was asked so far, one text a question."""
    return [str(request["body"]["messages"]) for request in platform.requests]


def test_each_pair_is_asked_in_both_orders_with_the_rubric(run, platform):
    attempt(run)
    asked = services.pairs_of(run.evaluation)
    assert run.answers.count() == len(platform.requests) == 2 * len(asked)
    body = platform.requests[0]["body"]
    assert "The right topic and due date, and nothing else." in body["messages"][0]["content"]
    assert body["temperature"] == 0
    _prompt, a, b = planted_judges.read_question(body["messages"])
    orders = [planted_judges.read_question(r["body"]["messages"])[1:] for r in platform.requests]
    assert (b, a) in orders


def test_the_control_pairs_come_first(run):
    channel = attempt(run)
    kinds = [choice["kind"] for choice in channel.choices]
    first = kinds.index("answers")
    assert set(kinds[first:]) == {"answers"}
    assert len(set(kinds[:first])) == 5


def test_no_question_says_which_model_gave_which_answer(run, platform):
    attempt(run)
    for question in questions(platform):
        assert "tuned" not in question.lower()
        assert "base model" not in question.lower()


def requests_at_rest(platform) -> int:
    """The number of requests, once those that were under way have arrived."""
    count = -1
    while count != len(platform.requests):
        count = len(platform.requests)
        time.sleep(0.5)
    return count


def test_a_killed_run_repeats_no_finished_answer(run, platform):
    with pytest.raises(KeyboardInterrupt):
        attempt(run, die_after=30)
    assert run.answers.count() == 30
    stored = {(a.kind, a.index, a.swapped) for a in run.answers.all()}
    spec = services.given_choices(run)
    assert len(spec) == 30
    before = requests_at_rest(platform)
    attempt(run)
    total = 2 * len(services.pairs_of(run.evaluation))
    assert run.answers.count() == total
    assert stored <= {(a.kind, a.index, a.swapped) for a in run.answers.all()}
    # Answers that were under way when the child died are asked again, and no others.
    assert len(platform.requests) - before == total - 30
    assert run.result["bias"] is None


def test_stop_keeps_the_answers_and_continue_asks_the_rest(run, as_editor, url):
    attempt(run, stop_after=5)
    assert Job.objects.get(pk=run.job_id).state == State.STOPPED
    assert run.answers.count() >= 5
    assert run.result == {}
    assert "Continue" in as_editor.get(url("detail", run.pk)).content.decode()
    as_editor.post(url("continue", run.pk))
    assert Job.objects.get(pk=run.job_id).state == State.QUEUED
    attempt(run)
    assert run.result["bias"] is None


def test_a_waiting_run_is_stopped_at_once(run, as_editor, url):
    as_editor.post(url("stop", run.pk))
    assert Job.objects.get(pk=run.job_id).state == State.STOPPED
    assert as_editor.post(url("stop", run.pk)).status_code == 302


def test_only_a_stopped_run_continues(run, as_editor, url):
    assert as_editor.post(url("continue", run.pk)).status_code == 400


def test_progress_counts_the_questions(run):
    with pytest.raises(KeyboardInterrupt):
        attempt(run, die_after=30)
    progress = [e for e in attempt(run).events if e["event"] == "progress"]
    total = 2 * len(services.pairs_of(run.evaluation))
    assert progress[0]["done"] == 31, "those of the first attempt, and the first of this one"
    assert (progress[-1]["done"], progress[-1]["total"]) == (total, total)


def test_an_event_that_arrives_twice_counts_once(run):
    given = {"kind": "answers", "index": 0, "swapped": False, "choice": "A"}
    services.store_choice(run, given)
    services.store_choice(run, given)
    assert JudgeAnswer.objects.count() == 1


# ---- A bad connection ----


def test_a_rejected_key_fails_the_job_and_is_not_told(tested, platform, endpoint):
    endpoint.model = "wrong key"
    endpoint.save()
    with pytest.raises(UserError, match="did not accept the key") as caught:
        attempt(start(tested, endpoint))
    assert fake_provider.KEY not in caught.value.message
    assert not JudgeAnswer.objects.exists()


def test_a_platform_that_breaks_down_fails_the_job_and_nothing_is_lost(
    run, platform, wanted, monkeypatch
):
    """Its errors are not answers: what had no answer is asked once it is back."""
    monkeypatch.setattr(client, "MAX_RETRY_WAIT_SECONDS", 0)
    good = as_model(planted_judges.good(wanted))
    replies = itertools.count(1)
    platform.reply_to = lambda messages: good(messages) if next(replies) <= 40 else 1 / 0
    with pytest.raises(UserError):
        attempt(run)
    answered = run.answers.count()
    assert 37 <= answered <= 40  # the last ones may have been on their way
    assert not run.answers.filter(choice="none").exists()
    platform.reply_to = good
    attempt(run)
    assert run.answers.count() == 2 * len(services.pairs_of(run.evaluation))
    assert run.result["bias"] is None


def test_stop_works_while_the_platform_is_slow(tested, platform, endpoint):
    endpoint.model = "slow"
    endpoint.save()
    run = start(tested, endpoint)
    attempt(run, stop_after=0)
    assert Job.objects.get(pk=run.job_id).state == State.STOPPED


# ---- The key ----


def test_the_key_is_in_no_page_log_or_row(run, as_owner, url, caplog, data_dir):
    with caplog.at_level(logging.DEBUG):
        attempt(run)
        pages = [as_owner.get(url("ask")), as_owner.get(url("detail", run.pk))]
    assert fake_provider.KEY not in caplog.text
    assert all(fake_provider.KEY not in page.content.decode() for page in pages)
    job = Job.objects.get(pk=run.job_id)
    assert fake_provider.KEY not in f"{job.spec}{job.result}{job.message}{job.detail}{run.result}"
    files = [path for path in (data_dir / "judging").rglob("*") if path.is_file()]
    assert all(fake_provider.KEY.encode() not in path.read_bytes() for path in files)


# ---- The end of a run ----


def test_a_run_is_deleted_with_its_job_and_folder(
    run, as_editor, url, data_dir, django_capture_on_commit_callbacks
):
    attempt(run)
    folder = data_dir / "judging" / str(run.pk)
    assert folder.is_dir()
    with django_capture_on_commit_callbacks(execute=True):
        as_editor.post(url("delete", run.pk))
    assert not JudgeAnswer.objects.exists()
    assert not Job.objects.filter(pk=run.job_id).exists()
    assert not folder.exists()


@pytest.mark.parametrize("what", ["evaluation", "goal", "team", "endpoint"])
def test_a_run_goes_with_what_it_is_about(run, what, django_capture_on_commit_callbacks):
    attempt(run)
    evaluation = run.evaluation
    row = {
        "evaluation": evaluation,
        "goal": evaluation.goal,
        "team": evaluation.goal.team,
        "endpoint": run.endpoint,
    }[what]
    with django_capture_on_commit_callbacks(execute=True):
        row.delete()
    assert not JudgeAnswer.objects.exists()
    assert not Job.objects.filter(pk=run.job_id).exists()


def test_a_run_outlives_the_person_who_asked(run, owner, as_viewer, url):
    attempt(run)
    owner.delete()
    run.refresh_from_db()
    assert run.started_by is None
    assert "somebody who has left" in as_viewer.get(url("detail", run.pk)).content.decode()
