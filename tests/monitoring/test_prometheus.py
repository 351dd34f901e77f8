"""/metrics: off unless a token is set, opened only by it, and without personal data."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from finetune_app.api_keys import services as api_keys
from finetune_app.core import alive
from finetune_app.jobs.models import Job, State
from finetune_app.request_log import feedback, prometheus, recording

TOKEN = "a long token of the operator"


@pytest.fixture
def asked(live, team, owner):
    key, _text = api_keys.create_key(
        team=team, by=owner, name="the secret mailbox", deployment=live
    )

    def ask(status: int = 200, **facts):
        return recording.record(
            key=key,
            deployment=live,
            release=live.current,
            model=live.name,
            prompt_tokens=90,
            tokens=10,
            status=status,
            seconds=3.0,
            messages=[{"role": "user", "content": "My pump leaks"}],
            **facts,
        )

    return ask


@pytest.fixture
def read(client, settings):
    """read() returns {(name, labels): value} of the exposition."""
    settings.METRICS_TOKEN = TOKEN

    def found():
        reply = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert reply.status_code == 200
        found.text = reply.content.decode()
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(found.text)
            for sample in family.samples
        }

    return found


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", "Bearer é"])
def test_a_wrong_token_is_refused(db, client, settings, header):
    settings.METRICS_TOKEN = TOKEN
    assert client.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_without_a_token_setting_it_is_off(db, client, settings):
    settings.METRICS_TOKEN = ""
    for header in ("", "Bearer ", "Bearer"):
        assert client.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_requests_are_counted_by_deployment_and_status(asked, read):
    name = "sort-shop-emails"
    before = read()
    asked(first_seconds=0.3)
    asked(status=429, error="engine_busy")
    feedback.give(request=asked(), rating=1)
    after = read()

    def growth(*key):
        return after[key] - before.get(key, 0)

    assert growth("finetune_requests_total", "200", name) == 2
    assert growth("finetune_requests_total", "429", name) == 1
    assert growth("finetune_tokens_total", "read", name) == 270
    assert growth("finetune_request_seconds_bucket", "4.0", name) == 2
    assert growth("finetune_request_seconds_bucket", "2.0", name) == 0
    assert growth("finetune_first_word_seconds_count", name) == 1
    assert growth("finetune_feedback_total", name, "up") == 1
    for private in ("mailbox", "pump", "Kettle", "chatcmpl"):
        assert private not in read.text


def test_jobs_and_engine_state_are_exported(team, read):
    Job.objects.create(team=team, kind="import", state=State.QUEUED)
    found = read()
    assert found["finetune_jobs", "import", "queued"] == 1
    assert found["finetune_jobs", "import", "running"] == 0
    assert found[("finetune_engine_up",)] == 0


def test_the_queue_the_disk_and_processes_are_exported(team, read, monkeypatch):
    alive.file_of("light").unlink(missing_ok=True)
    alive.touch("heavy")
    an_hour_ago = timezone.now() - timedelta(hours=1)
    Job.objects.create(team=team, kind="training", queued_at=an_hour_ago)
    Job.objects.create(team=team, kind="training", state=State.FAILED)
    found = read()
    assert found["finetune_jobs", "failed", "training"] == 1
    assert found["finetune_queue_length", "heavy"] == 1
    assert found["finetune_queue_length", "light"] == 0
    assert 3600 <= found["finetune_queue_age_seconds", "heavy"] < 3700
    assert found["finetune_queue_age_seconds", "light"] == 0
    assert found["finetune_processes_alive", "heavy"] == 1
    assert found["finetune_processes_alive", "light"] == 0
    assert 0 < found[("finetune_disk_free_bytes",)] < found[("finetune_disk_bytes",)]


def test_requests_are_counted_by_route_and_never_by_address(goal, as_viewer, as_stranger, read):
    route = ("GET", "goals/<int:goal_id>/")
    before = read()
    for person in (as_viewer, as_stranger, as_stranger):
        person.get(f"/goals/{goal.pk}/")
    as_viewer.get("/join/a-secret-of-an-invitation/")
    after = read()

    def growth(status):
        key = ("finetune_web_requests_total", *sorted([*route, status]))
        return after.get(key, 0) - before.get(key, 0)

    assert growth("404") == 2
    assert growth("200") + growth("302") == 1
    assert "a-secret" not in read.text


def test_two_web_processes_add_up(tmp_path):
    """Each counts in files of one folder; whichever is asked tells the sum."""
    count = (
        "from finetune_app.request_log import prometheus;"
        "prometheus.count_feedback(deployment_name='mail', is_up=True)"
    )
    show = (
        "from prometheus_client import CollectorRegistry, generate_latest;"
        "from prometheus_client.multiprocess import MultiProcessCollector;"
        "r = CollectorRegistry(); MultiProcessCollector(r); print(generate_latest(r).decode())"
    )

    def run(code):
        env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    run(count)
    run(count)
    assert 'finetune_feedback_total{deployment="mail",rating="up"} 2.0' in run(show)


def test_cards_are_read_from_nvidia_smi(read, tmp_path, monkeypatch, db):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, 1024, 81920, 50'\n")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = read()
    assert found["finetune_gpu_memory_used_bytes", "0"] == 1024 * 1024**2
    assert found["finetune_gpu_busy_ratio", "0"] == 0.5


def test_the_number_of_deployment_labels_is_limited(monkeypatch):
    monkeypatch.setattr(prometheus, "_names", {"a"})
    monkeypatch.setattr(prometheus, "MAX_NAMES", 2)
    assert [prometheus.label_of(one) for one in ("b", "c", "a", None)] == ["b", "other", "a", "-"]
