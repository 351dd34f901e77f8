"""A team's hub token: encrypted, sent to the hub only, never shown."""

import json
from collections.abc import Iterator

import pytest
from django.core import serializers

from finetune_app.basemodels import hub, services
from finetune_app.basemodels.models import BaseModel, HubToken, Install
from finetune_app.core.encryption import encrypt
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import ChildRun, Job, State
from tests.basemodels.conftest import HUB_ID
from tests.hub.stub_hub import StubHub

TOKEN = "hf_kettleLaneSecret123"


def everything_in_the_database() -> str:
    rows = [
        *Job.objects.all(),
        *ChildRun.objects.all(),
        *HubToken.objects.all(),
        *BaseModel.objects.all(),
    ]
    return serializers.serialize("json", rows)


@pytest.fixture
def people(monkeypatch) -> Iterator[StubHub]:
    """A hub that knows whose TOKEN is."""
    with StubHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        hub.add_person(TOKEN, "kettle", ["lane"], role="read")
        hub.add_person("hf_other", "other")
        yield hub


@pytest.fixture
def saved(team) -> HubToken:
    return HubToken.objects.create(team=team, secret=encrypt(TOKEN), account="kettle")


def test_the_owner_saves_a_token_and_it_is_never_shown(as_owner, as_editor, url, team, people):
    assert as_owner.post(url("token"), {"token": f" {TOKEN} "}).url == f"{url('page')}#work"
    assert services.hub_token(team) == TOKEN
    found = HubToken.objects.get()
    assert (found.account, found.organisations, found.role) == ("kettle", ["lane"], "read")
    for client in (as_owner, as_editor):
        page = client.get(url("page")).content.decode()
        assert TOKEN not in page
        assert "An access token is saved" in page
    assert TOKEN not in everything_in_the_database()


def test_a_new_token_replaces_it_and_an_empty_one_deletes_it(as_owner, url, team, people):
    as_owner.post(url("token"), {"token": TOKEN})
    as_owner.post(url("token"), {"token": "hf_other"})
    assert services.hub_token(team) == "hf_other"
    as_owner.post(url("token"), {"token": ""})
    assert not HubToken.objects.exists()


@pytest.mark.parametrize("token", ["a b", "hf_é", "hf_\r\nX-Evil: 1", "x" * 301])
def test_an_invalid_token_is_neither_saved_nor_shown(as_owner, url, token):
    reply = as_owner.post(url("token"), {"token": token})
    assert reply.status_code == 422
    assert not HubToken.objects.exists()
    assert "X-Evil" not in reply.content.decode()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept this token"),
        (403, "does not accept this token"),
        (429, "asked too often"),
        (500, "answered with an error (500)"),
        (0, "does not answer"),
    ],
)
def test_a_token_is_tried_first(as_owner, url, people, status, words):
    people.fault("GET", "/api/whoami-v2", status)
    reply = as_owner.post(url("token"), {"token": TOKEN})
    assert reply.status_code in (422, 502, 503)
    assert words in reply.content.decode()
    assert "out of order" not in reply.content.decode()
    assert not HubToken.objects.exists()


@pytest.mark.parametrize(
    "answer", [b"<html>", b"[]", b'{"name": 3}', b'{"name": "<script>\\u0000"}', b"[" * 100_000]
)
def test_an_answer_that_tells_nobody_is_refused(as_owner, url, people, answer):
    people.others.append(lambda *asked: answer)
    reply = as_owner.post(url("token"), {"token": TOKEN})
    assert reply.status_code == 502
    assert "something else than expected" in reply.content.decode()
    assert not HubToken.objects.exists()


def test_an_endless_answer_is_cut_off(as_owner, url, people, monkeypatch):
    monkeypatch.setattr(hub, "MAX_ANSWER_BYTES", 50_000)
    people.others.append(lambda *asked: b'{"name": "%s"}' % (b"x" * 100_000))
    assert as_owner.post(url("token"), {"token": TOKEN}).status_code == 502


def test_what_a_person_has_that_is_no_list_is_left_out(as_owner, url, people):
    people.people[TOKEN] = {
        "name": "kettle",
        "orgs": [{"name": 3}, "x", {"name": "lane"}],
        "auth": 1,
    }
    as_owner.post(url("token"), {"token": TOKEN})
    found = HubToken.objects.get()
    assert (found.organisations, found.role) == (["lane"], "")


def test_offline_no_hub_is_asked(as_owner, url, people, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert as_owner.post(url("token"), {"token": TOKEN}).status_code == 409
    assert people.requests == []


def test_viewers_and_strangers_may_not(as_editor, as_viewer, as_stranger, as_owner, url):
    for client, status in ((as_editor, 403), (as_viewer, 403), (as_stranger, 404)):
        assert client.post(url("token"), {"token": TOKEN}).status_code == status
    assert as_owner.get(url("token")).status_code == 405
    assert not HubToken.objects.exists()


def test_it_is_in_the_childs_order_and_not_in_the_job(install, saved):
    made = install()
    assert handler_for(made.job).child_spec(made.job).spec["token"] == TOKEN
    assert TOKEN not in everything_in_the_database()


def test_a_folder_needs_none(install, saved):
    job = install("/models/tiny").job
    assert handler_for(job).child_spec(job).spec["token"] is None


@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("right", [True, False])
def test_only_the_hub_gets_the_token(
    install, work_in_a_child, hub, tiny_model, saved, data_dir, right, capfd, caplog
):
    hub.add(HUB_ID, tiny_model, token=TOKEN if right else "another")
    made = install()
    job = work_in_a_child(made)
    assert {given for _, _, given in hub.requests} == {f"Bearer {TOKEN}"}
    if right:
        assert job.state == State.SUCCEEDED
    else:
        assert (job.state, job.error_code) == (State.FAILED, "no_access")
        assert "may not read this model" in job.message
        assert Install.objects.get(pk=made.pk).can_continue
    told = job.message + job.detail + json.dumps(job.result) + everything_in_the_database()
    written = capfd.readouterr()
    assert TOKEN not in told + written.out + written.err + caplog.text
    for path in data_dir.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path
