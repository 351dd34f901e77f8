"""Who may push what where: the page, its form, and the record of a push."""

import pytest
from django.urls import reverse

from finetune_app.audit.models import AuditEntry
from finetune_app.basemodels.models import BaseModel, HubToken
from finetune_app.core.audit import AuditAction
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job, State
from finetune_app.model_export.models import HubPush
from tests import journey


@pytest.fixture
def url(goal):
    return lambda name="push", **ids: reverse(
        f"model_export:{name}", kwargs={"goal_id": goal.pk, **ids}
    )


@pytest.fixture(autouse=True)
def _asleep(monkeypatch):
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)


ADAPTER = {"training": 1, "format": "adapter"}
GIVEN = ADAPTER | {"namespace": "kettle", "name": "shop-mail"}


def test_an_editor_pushes_and_follows_it(as_editor, editor, trained, token, url):
    page = as_editor.get(url(), ADAPTER).content.decode()
    assert 'value="sort-shop-emails-training-1"' in page
    assert "the very file that was trained" in page
    reply = as_editor.post(url(), GIVEN)
    push = HubPush.objects.get()
    assert reply.url == url("pushed", push_id=push.pk)
    assert (push.repository, push.public, push.by) == ("kettle/shop-mail", False, editor)
    assert (push.job.kind, push.job.state, push.job.is_heavy) == ("hub_push", State.QUEUED, False)
    assert push.job.spec == {}
    shown = as_editor.get(reply.url).content.decode()
    assert "every 2s" in shown
    assert "kettle/shop-mail" in as_editor.get(url("page")).content.decode()


def test_only_an_owner_makes_it_public(as_editor, as_owner, trained, token, url):
    assert "Only an owner of your team" in as_editor.get(url(), ADAPTER).content.decode()
    as_editor.post(url(), GIVEN | {"public": "on"})
    assert not HubPush.objects.get().public
    journey.set_state(HubPush.objects.get().job, State.FAILED)
    as_owner.post(url(), GIVEN | {"public": "on"})
    assert HubPush.objects.first().public


def test_only_an_owner_continues_a_public_push(as_editor, as_owner, trained, token, url):
    as_owner.post(url(), GIVEN | {"public": "on"})
    push = HubPush.objects.get()
    as_owner.post(url("stop_push", push_id=push.pk))
    page, go_on = url("pushed", push_id=push.pk), url("continue_push", push_id=push.pk)
    shown = as_editor.get(page).content.decode()
    assert go_on not in shown
    assert "only an owner may continue it" in shown
    assert as_editor.post(go_on).status_code == 403
    assert Job.objects.get(pk=push.job_id).state == State.STOPPED
    assert go_on in as_owner.get(page).content.decode()
    assert as_owner.post(go_on).status_code == 302
    assert Job.objects.get(pk=push.job_id).state == State.QUEUED
    lines = AuditEntry.objects.filter(action=AuditAction.MODEL_PUSH_CONTINUED).order_by("pk")
    assert [line.status for line in lines] == [403, 302]


def test_no_unchecked_export_is_pushed(as_editor, trained, token, export, url):
    given = GIVEN | {"format": "merged-bf16"}
    export.parity = {**export.parity, "passed": False}
    export.save()
    assert as_editor.post(url(), given).status_code == 409
    assert "Nothing is pushed before it is checked" in as_editor.get(url(), given).content.decode()
    assert as_editor.post(url(), given | {"format": "gguf-f16"}).status_code == 409
    assert as_editor.post(url(), given | {"format": "pickle"}).status_code == 404
    assert not HubPush.objects.exists()


@pytest.mark.parametrize(
    "name", ["", "-x", "a/b", "a b", "x" * 97, "a..b", "a--b", "ä", "<b>", "x.git\n"]
)
def test_a_name_that_the_hub_would_not_take(as_editor, trained, token, url, name):
    reply = as_editor.post(url(), GIVEN | {"name": name})
    if name == "x.git\n":  # the end of a line is not part of it
        name = name.strip()
    else:
        assert reply.status_code == 422
        assert not HubPush.objects.exists()


def test_only_accounts_of_the_token(as_editor, trained, token, url):
    assert as_editor.post(url(), GIVEN | {"namespace": "somebody"}).status_code == 422
    assert as_editor.post(url(), GIVEN | {"namespace": "lane"}).status_code == 302


def test_without_a_token_that_may_write(as_editor, trained, url, team, token):
    HubToken.objects.update(role="read")
    assert "may only read" in as_editor.get(url(), ADAPTER).content.decode()
    HubToken.objects.all().delete()
    assert "no access token of the hub yet" in as_editor.get(url(), ADAPTER).content.decode()
    assert as_editor.post(url(), GIVEN).status_code == 409


@pytest.mark.parametrize(
    ("licence", "words", "needs_a_word"),
    [
        ("Apache 2.0", "It allows you to pass on", False),
        ("mit", "It allows you to pass on", False),
        ("Gemma terms", "rules of use", True),
        ("cc-by-nc-4.0", "not be used for business", True),
        ("cc-by-sa-4.0", "under the same licence", True),
        ("my-own", "does not know this licence", True),
        ("", "No licence is recorded", True),
    ],
)
def test_the_licence_is_said_and_agreed_to(
    as_editor, trained, token, url, licence, words, needs_a_word
):
    BaseModel.objects.update(licence=licence)
    page = as_editor.get(url(), ADAPTER).content.decode()
    assert words in page
    assert ('name="agreed"' in page) == needs_a_word
    assert as_editor.post(url(), GIVEN).status_code == (422 if needs_a_word else 302)
    if needs_a_word:
        assert as_editor.post(url(), GIVEN | {"agreed": "on"}).status_code == 302
    assert HubPush.objects.get().licence == licence


def test_a_gated_model_needs_a_word_whatever_its_licence(as_editor, trained, token, url):
    BaseModel.objects.update(licence="apache-2.0", gated=True)
    assert as_editor.post(url(), GIVEN).status_code == 422


def test_what_may_not_be_passed_on_is_refused(as_editor, trained, token, url):
    BaseModel.objects.update(licence="cc-by-nc-nd-4.0")
    assert "forbids passing on changed versions" in as_editor.get(url(), ADAPTER).content.decode()
    assert as_editor.post(url(), GIVEN | {"agreed": "on"}).status_code == 409


def test_llama_asks_for_its_name(as_editor, trained, token, url):
    BaseModel.objects.update(licence="Llama 3.2 Community")
    agreed = GIVEN | {"agreed": "on"}
    page = as_editor.get(url(), ADAPTER).content.decode()
    assert 'value="Llama-sort-shop-emails-training-1"' in page
    reply = as_editor.post(url(), agreed)
    assert "begins with “Llama”" in reply.content.decode()
    assert as_editor.post(url(), agreed | {"name": "Llama-shop"}).status_code == 302
    card = as_editor.get(
        reverse("model_export:card_file", args=[trained.goal_id, 1])
    ).content.decode()
    assert "Built with Llama." in card
    assert "license: llama3.2" in card


def test_another_push_to_the_same_repository_has_to_wait(as_editor, trained, token, export, url):
    as_editor.post(url(), GIVEN)
    reply = as_editor.post(url(), GIVEN | {"format": "merged-bf16", "name": "Shop-Mail"})
    assert "being pushed to kettle/Shop-Mail already" in reply.content.decode()


def test_others_may_not(as_viewer, as_stranger, as_editor, trained, token, url):
    for client, status in ((as_viewer, 403), (as_stranger, 404)):
        assert client.post(url(), GIVEN).status_code == status
        assert client.get(url(), ADAPTER).status_code == status
    as_editor.post(url(), GIVEN)
    push = HubPush.objects.get()
    assert as_viewer.get(url("pushed", push_id=push.pk)).status_code == 200
    assert as_stranger.get(url("pushed", push_id=push.pk)).status_code == 404
    for name in ("stop_push", "continue_push", "forget_push"):
        where = url(name, push_id=push.pk)
        assert as_viewer.post(where).status_code == 403
        assert as_stranger.post(where).status_code == 404
        assert as_editor.get(where).status_code == 405
    assert as_editor.put(url()).status_code == 405
    assert as_editor.post(url(), GIVEN | {"training": 7}).status_code == 404
    assert as_editor.post(url(), GIVEN | {"training": "x"}).status_code == 404


def test_stop_continue_and_forget(as_editor, trained, token, url):
    as_editor.post(url(), GIVEN)
    push = HubPush.objects.get()
    assert as_editor.post(url("forget_push", push_id=push.pk)).status_code == 409
    as_editor.post(url("stop_push", push_id=push.pk))
    assert Job.objects.get(pk=push.job_id).state == State.STOPPED
    assert "Continue" in as_editor.get(url("pushed", push_id=push.pk)).content.decode()
    as_editor.post(url("continue_push", push_id=push.pk))
    assert Job.objects.get(pk=push.job_id).state == State.QUEUED
    assert as_editor.post(url("continue_push", push_id=push.pk)).status_code == 400
    journey.set_state(push.job, State.FAILED, message="It did not work because.")
    assert "because" in as_editor.get(url("pushed", push_id=push.pk)).content.decode()
    as_editor.post(url("forget_push", push_id=push.pk))
    assert not HubPush.objects.exists()
