"""Interrupted anywhere and continued: one repository, one commit, nothing sent twice."""

import os
import signal
import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.core.errors import PlainError
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ChildRun, Job, State
from finetune_app.model_export import pushing
from finetune_app.model_export.models import HubPush
from tests.hub_push.conftest import work

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "kettle/shop"
REQUESTS = [
    ("GET", "/api/models/kettle/shop"),
    ("POST", "/api/repos/create"),
    ("POST", "/preupload/"),
    ("POST", "/objects/batch"),
    ("PUT", "/_objects/put"),
    ("POST", "/_objects/verify"),
    ("POST", "/api/validate-yaml"),
    ("POST", "/commit/"),
    ("GET", "/revision/"),
]
# The whole matrix is in `make long`.
OFTEN = [("POST", "/api/repos/create"), ("PUT", "/_objects/put"), ("POST", "/commit/")]
KILLED_AT = [
    pytest.param(*request, marks=() if request in OFTEN else pytest.mark.long)
    for request in REQUESTS
]


@pytest.fixture(autouse=True)
def _quick(settings):
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = 60, 5


def is_whole(hub) -> bool:
    repository = hub.repositories["model", NAME]
    return (
        list(hub.repositories) == [("model", NAME)]
        and len(repository.commits) == 2
        and len(hub.uploads) == len(set(hub.uploads)) == 2
    )


@pytest.mark.parametrize(("method", "where"), KILLED_AT)
@pytest.mark.parametrize("carried_out", [False, True])
def test_killed_at_any_request_it_goes_on(hub, start, export, method, where, carried_out):
    """kill -9 of the child while it waits for an answer."""
    push = start(format="merged-bf16", name="shop")
    killed = threading.Event()

    def kill() -> None:
        if not killed.is_set():
            killed.set()
            child = ChildRun.objects.filter(job=push.job_id).latest("pk").child
            os.kill(int(child.split(":")[1]), signal.SIGKILL)

    def before(asked: str, path: str) -> None:
        if asked == method and where in path and not carried_out:
            kill()

    hub.before = before
    if carried_out:
        hub.fault(method, where, 0, after=True)  # no answer comes; then it is killed
        hub.before = lambda asked, path: kill() if hub_lost(hub) and not killed.is_set() else None
    push = work(push)
    hub.before = lambda asked, path: None
    assert killed.is_set()
    assert push.job.state == State.QUEUED  # put back by the supervisor
    push = work(push)
    assert push.job.state == State.SUCCEEDED, push.job.message
    assert is_whole(hub)
    assert push.commit == hub.repositories["model", NAME].commits[-1]


def hub_lost(hub) -> bool:
    return all(fault.times == 0 for fault in hub.faults)


def test_stopped_while_a_large_file_is_sent_and_continued(hub, start, export):
    push = start(format="merged-bf16", name="shop")

    def press_stop(method: str, path: str) -> None:
        if len(hub.uploads) == 1:
            jobs.ask_stop(Job.objects.get(pk=push.job_id))
            stopped.set()

    stopped = threading.Event()
    hub.before = press_stop
    hub.fault("POST", "/_objects/verify", 503, times=100, headers={"Retry-After": "1"})
    push = work(push)
    assert stopped.is_set()
    assert push.job.state == State.STOPPED
    assert hub.repositories["model", NAME].commits[1:] == []  # nothing is visible yet
    hub.before, hub.faults = (lambda method, path: None), []
    pushing.resume(push=push)
    push = work(push)
    assert push.job.state == State.SUCCEEDED
    assert is_whole(hub)


def test_killed_after_the_commit_and_continued_on_another_day(hub, start, export, monkeypatch):
    """The card has a date, so the one on the hub is another than that of the second run."""
    push = start(format="merged-bf16", name="shop")
    hub.fault("GET", "/revision/", 404, times=1)  # it ends just after the commit
    push = work(push)
    assert push.job.state == State.FAILED
    tomorrow = timezone.now() + timedelta(days=1)
    monkeypatch.setattr("finetune_app.model_export.card_sections.timezone.now", lambda: tomorrow)
    pushing.resume(push=push)
    push = work(push)
    assert push.job.state == State.SUCCEEDED, push.job.message


def test_a_repository_with_the_same_file_and_another_card_is_not_ours(hub, start, export):
    theirs = {"LICENSE": b"Apache License", "README.md": b"theirs"}
    hub.add(NAME, theirs, private=True)
    push = work(start(format="merged-bf16", name="shop"))
    assert push.job.state == State.FAILED
    assert "not pushed from here" in push.job.message


def test_continued_while_another_push_goes_to_the_same_repository(start, export):
    """It would end with the files of both."""
    stopped = start(name="shop")
    pushing.stop(push=stopped)
    start(name="shop", format="merged-bf16")
    stopped.refresh_from_db()
    with pytest.raises(PlainError, match="Something is being pushed to kettle/shop already"):
        pushing.resume(push=stopped)
    assert Job.objects.get(pk=stopped.job_id).state == State.STOPPED


def test_two_clicks_make_one_push(hub, start, export):
    first, second = start(format="merged-bf16"), start(format="merged-bf16")
    assert first.pk == second.pk
    assert HubPush.objects.count() == 1


def test_a_busy_hub_is_asked_again(hub, start, export):
    for where in ("/preupload/", "/objects/batch", "/_objects/put", "/commit/"):
        hub.fault("PUT" if "put" in where else "POST", where, 503, headers={"Retry-After": "0"})
    hub.fault("POST", "/api/repos/create", 429, headers={"Retry-After": "1"})
    push = work(start(format="merged-bf16", name="shop"))
    assert push.job.state == State.SUCCEEDED, push.job.message
    assert is_whole(hub)


def test_the_client_that_would_create_without_end_is_held(hub, start):
    """409 “another conflicting operation” is asked again by the client without a pause."""
    sentence = "Cannot create repo: another conflicting operation is in progress"
    hub.fault("POST", "/api/repos/create", 409, text=sentence, times=2)
    push = work(start(name="shop"))
    assert push.job.state == State.SUCCEEDED
    assert hub.count("POST", "/api/repos/create") == 3
