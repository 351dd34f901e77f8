"""A batch that is cancelled, expires, or whose worker, key, model or engine goes away."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import openai
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.batches import answering
from finetune_app.batches import jobs as batch_jobs
from finetune_app.batches.models import Batch, BatchRequest
from finetune_app.deployment import services as deployments
from finetune_app.jobs import recovery
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.request_log.models import Request
from tests.batches.batch_files import batch_of, line, read, run_slice, run_to_end, send
from tests.worker.conftest import wait_for


@pytest.fixture
def short_slices(monkeypatch):
    monkeypatch.setattr(answering, "SLICE_SECONDS", 0.05)


def ids(*numbers: int) -> set[str]:
    return {f"row-{number}" for number in numbers}


# ---- Cancelled ----


def test_a_batch_that_waits_is_cancelled(client, engine, live):
    sent = send(client, [line(n) for n in range(3)])
    assert client.batches.cancel(sent.id).status == "cancelling"
    assert client.batches.cancel(sent.id).status == "cancelling", "twice is no error"
    done = run_to_end(client, sent)
    assert (done.status, done.request_counts.total) == ("cancelled", 0)
    assert engine.asked == []


def test_what_was_answered_before_it_was_cancelled_is_kept(
    client, engine, live, short_slices, monkeypatch
):
    sent = send(client, [line(n) for n in range(200)])
    engine.pause_seconds = 0.01
    run_slice(sent)
    client.batches.cancel(sent.id)
    done = run_to_end(client, sent)
    counts = done.request_counts
    assert done.status == "cancelled"
    answers, errors = read(client, done.output_file_id), read(client, done.error_file_id)
    assert 0 < len(answers) == counts.completed < 200
    assert set(answers) | set(errors) == ids(*range(200)), "no line is lost"
    assert {row["error"]["code"] for row in errors.values()} == {"batch_cancelled"}


def test_a_batch_is_cancelled_while_it_is_answered(client, engine, live, monkeypatch):
    monkeypatch.setattr(answering, "CHECK_SECONDS", 0.05)
    engine.pause_seconds = 30.0
    sent = send(client, [line(n) for n in range(3)])

    def cancel_soon():
        wait_for(lambda: engine.running == 3, seconds=20)
        client.batches.cancel(sent.id)

    canceller = threading.Thread(target=cancel_soon)
    canceller.start()
    started = time.monotonic()
    done = run_to_end(client, sent)
    canceller.join()
    assert time.monotonic() - started < 20, "the answers were broken off"
    assert done.status == "cancelled"
    assert set(read(client, done.error_file_id)) == ids(0, 1, 2)
    assert engine.running == 0


def test_what_has_ended_is_not_cancelled(client, engine, live):
    done = run_to_end(client, send(client, [line(1)]))
    with pytest.raises(openai.ConflictError, match="completed"):
        client.batches.cancel(done.id)
    assert client.batches.retrieve(done.id).status == "completed"


def test_an_operator_who_stops_its_job_cancels_it(client, engine, live, short_slices):
    engine.pause_seconds = 0.01
    sent = send(client, [line(n) for n in range(200)])
    run_slice(sent)
    jobs.ask_stop(batch_of(sent).job)
    done = run_to_end(client, sent)
    assert (done.status, batch_of(sent).job.state) == ("cancelled", "cancelled")
    answers, errors = read(client, done.output_file_id), read(client, done.error_file_id)
    assert answers
    assert set(answers) | set(errors) == ids(*range(200))
    assert {row["error"]["code"] for row in errors.values()} == {"batch_cancelled"}


# ---- Failed ----


@pytest.fixture
def half_done(client, engine, live, short_slices, monkeypatch):
    """A batch with some answers, whose next slice fails for good."""
    engine.pause_seconds = 0.01
    sent = send(client, [line(n) for n in range(200)])
    run_slice(sent)

    def crash(run):
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr(batch_jobs.BatchRun, "answer", crash)
    return sent


def test_what_was_answered_before_it_failed_can_be_read(client, half_done):
    done = run_to_end(client, half_done)
    assert (done.status, bool(done.failed_at), done.errors.data[0].code) == (
        "failed",
        True,
        "failed",
    )
    assert "make a batch of that" in done.errors.data[0].message
    answers, errors = read(client, done.output_file_id), read(client, done.error_file_id)
    assert 0 < len(answers) == done.request_counts.completed < 200
    assert set(answers) | set(errors) == ids(*range(200)), "no line is lost"
    assert {row["error"]["code"] for row in errors.values()} == {"batch_failed"}
    assert not BatchRequest.objects.exists()


def test_a_failed_batch_waits_for_a_full_disk(client, half_done, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(batch_jobs, "write_output_files", lambda batch: 1 / 0)
        assert run_to_end(client, half_done).status == "finalizing"
    batch_jobs.finish_all_failed()
    assert client.batches.retrieve(half_done.id).status == "finalizing", "it may be being written"
    Batch.objects.update(finalizing_at=timezone.now() - timedelta(minutes=11))
    batch_jobs.finish_all_failed()
    done = client.batches.retrieve(half_done.id)
    assert done.status == "failed"
    assert read(client, done.output_file_id)


def test_a_database_that_is_away_for_a_moment_is_no_answer(client, engine, live, monkeypatch):
    usable_key, away = answering.Slice._usable_key, [OperationalError("the database is away")]

    def sometimes_away(self, action):
        if away:
            raise away.pop()
        return usable_key(self, action)

    monkeypatch.setattr(answering.Slice, "_usable_key", sometimes_away)
    done = run_to_end(client, send(client, [line(n) for n in range(3)]))
    assert vars(done.request_counts) == {"total": 3, "completed": 3, "failed": 0}


def test_an_input_file_that_cannot_be_read_for_a_moment_is_waited_for(
    client, engine, live, monkeypatch
):
    body, away = answering.request_body, [OSError(5, "Input/output error")]

    def sometimes_away(path, request):
        if away:
            raise away.pop()
        return body(path, request)

    monkeypatch.setattr(answering, "request_body", sometimes_away)
    done = run_to_end(client, send(client, [line(n) for n in range(3)]))
    assert vars(done.request_counts) == {"total": 3, "completed": 3, "failed": 0}


# ---- Expired ----


def test_after_a_day_what_is_left_expires(client, engine, live, short_slices):
    engine.pause_seconds = 0.01
    sent = send(client, [line(n) for n in range(200)])
    run_slice(sent)
    Batch.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    done = run_to_end(client, sent)
    assert (done.status, bool(done.expired_at)) == ("expired", True)
    answers, errors = read(client, done.output_file_id), read(client, done.error_file_id)
    assert answers
    assert set(answers) | set(errors) == ids(*range(200))
    assert {row["error"]["code"] for row in errors.values()} == {"batch_expired"}


# ---- Killed ----


@pytest.mark.long
def test_a_killed_worker_loses_no_line_and_asks_none_twice_that_was_answered(
    client, live, engine_process, settings
):
    """kill -9 in the middle, several times, with the real engine."""
    settings.LEASE_SECONDS = 3
    sent = send(client, [line(n) for n in range(60)])
    for kill_at in (5, 20, 40):
        Job.objects.update(not_before=None)
        worker = start_worker(batch_of(sent).job_id, engine_process)
        wait_for(
            lambda at=kill_at: BatchRequest.objects.exclude(status_code=None).count() >= at,
            seconds=90,
        )
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        recovery.recover(recovery.HeartbeatMonitor())
        assert batch_of(sent).job.state == "queued"
    done = run_to_end(client, sent)
    assert vars(done.request_counts) == {"total": 60, "completed": 60, "failed": 0}
    assert set(read(client, done.output_file_id)) == ids(*range(60))
    again = Request.objects.filter(status=200).count() - 60
    assert 0 <= again <= 3 * answering.AT_ONCE, "only what was being answered"


def start_worker(job_id: int, engine_process) -> subprocess.Popen:
    from tests.worker.conftest import environment
    from tests.worker.engine.engine_server import SECRET

    found = {"ENGINE_SOCKET": str(engine_process.socket), "ENGINE_SECRET": SECRET}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.batches.batch_worker", str(job_id), str(engine_process.data)],
        env=os.environ | environment() | found,
        cwd=django_settings.BASE_DIR,
    )


def test_files_are_whole_though_it_dies_while_it_forgets_the_requests(
    client, engine, live, monkeypatch
):
    sent = send(client, [line(n) for n in range(10)])
    with monkeypatch.context() as patch:
        patch.setattr("finetune_app.batches.jobs.ROWS_AT_ONCE", 4)
        patch.setattr("finetune_app.batches.jobs.BatchRun.forget_requests", forget_some_and_fail)
        run_slice(sent)
    assert batch_of(sent).job.state == "queued"
    assert BatchRequest.objects.count() == 6
    done = run_to_end(client, sent)
    assert done.status == "completed"
    assert set(read(client, done.output_file_id)) == ids(*range(10))
    assert not BatchRequest.objects.exists()


def forget_some_and_fail(run):
    rows = run.batch.requests.order_by("-pk").values_list("pk", flat=True)[:4]
    BatchRequest.objects.filter(pk__in=list(rows)).delete()
    raise OSError("the disk is gone")


def test_a_full_disk_is_waited_for(client, engine, live, monkeypatch):
    sent = send(client, [line(1)])

    def full(batch):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("finetune_app.batches.jobs.write_output_files", full)
        assert run_slice(sent).state == "queued"
    assert run_to_end(client, sent).status == "completed"
    assert engine.asked == ["question 1"]


# ---- The engine ----


def test_people_are_answered_first(client, engine, live, monkeypatch):
    """The engine has no room: the batch goes on later, and no failure is logged."""
    engine.fail("question 0", times=2, retry_after=5)
    sent = send(client, [line(n) for n in range(12)])
    done = run_to_end(client, sent)
    assert done.request_counts.completed == 12
    assert not Request.objects.exclude(status=200).exists()


def test_an_engine_that_is_away_for_a_while_fails_nothing(client, engine, live):
    engine.fail("question 0", times=3)
    sent = send(client, [line(0)])
    waits = []
    for _slice in range(3):
        job = run_slice(sent)
        waits.append((job.not_before - timezone.now()).total_seconds())
    assert waits[0] < waits[1] < waits[2] <= 60
    assert run_to_end(client, sent).request_counts.completed == 1


def test_a_request_that_ends_the_engine_again_and_again_is_given_up_alone(
    client, engine, live, monkeypatch
):
    monkeypatch.setattr(answering, "MAX_SETBACKS", 3)
    engine.fail("question 5")
    done = run_to_end(client, send(client, [line(n) for n in range(12)]))
    assert vars(done.request_counts) == {"total": 12, "completed": 11, "failed": 1}
    [(row, error)] = read(client, done.error_file_id).items()
    assert row == "row-5"
    assert error["response"]["body"]["error"]["code"] == "engine_unavailable"


def test_a_paused_model_is_waited_for(client, engine, live):
    deployments.pause(deployment=live)
    sent = send(client, [line(1)])
    for _slice in range(20):
        assert run_slice(sent).state == "queued"
    deployments.resume(deployment=live)
    assert run_to_end(client, sent).request_counts.completed == 1


def test_one_batch_is_answered_at_a_time(client, engine, live):
    first, second = send(client, [line(1)]), send(client, [line(2)])
    Job.objects.filter(pk=batch_of(first).job_id).update(state="preparing")
    assert run_slice(second).state == "queued"
    assert engine.asked == []
    Job.objects.filter(pk=batch_of(first).job_id).update(state="queued")
    assert run_to_end(client, second).status == "completed"


# ---- The key ----


def test_a_revoked_key_asks_nothing_more(client, engine, live, key, address, team, owner):
    sent = send(client, [line(n) for n in range(3)])
    api_keys.revoke_key(key=key[0])
    while run_slice(sent).state == "queued":
        pass
    _key, text = api_keys.create_key(team=team, by=owner, name="another")
    other = openai.OpenAI(base_url=address, api_key=text)
    done = other.batches.retrieve(sent.id)
    assert vars(done.request_counts) == {"total": 3, "completed": 0, "failed": 3}
    errors = read(other, done.error_file_id)
    assert {row["response"]["status_code"] for row in errors.values()} == {401}
    assert engine.asked == []


def test_a_budget_that_is_used_up_ends_the_answers_and_can_be_read(client, engine, live, key):
    ApiKey.objects.filter(pk=key[0].pk).update(tokens_per_month=20)
    done = run_to_end(client, send(client, [line(n) for n in range(40)]))
    assert 3 <= done.request_counts.completed <= 3 + answering.AT_ONCE
    errors = read(client, done.error_file_id)
    codes = {row["response"]["body"]["error"]["code"] for row in errors.values()}
    assert codes == {"insufficient_quota"}
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**line(1)["body"])


def test_a_file_that_is_deleted_meanwhile(client, engine, live, short_slices):
    engine.pause_seconds = 0.01
    sent = send(client, [line(n) for n in range(200)])
    run_slice(sent)
    client.files.delete(sent.input_file_id)
    done = run_to_end(client, sent)
    assert done.status == "completed"
    answers, errors = read(client, done.output_file_id), read(client, done.error_file_id)
    assert set(answers) | set(errors) == ids(*range(200))
    codes = {row["response"]["body"]["error"]["code"] for row in errors.values()}
    assert codes == {"file_deleted"}
