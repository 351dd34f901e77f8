"""What the hub refuses is said in words that tell what to do; nothing there is changed."""

import httpx2
import pytest

from finetune_app.basemodels import hub_client
from finetune_app.basemodels.models import HubToken
from finetune_app.core.encryption import encrypt
from finetune_app.jobs.models import State
from finetune_app.model_export import pushing
from finetune_app.providers.guard import NotAllowed
from tests.hub_push.conftest import work

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_repository_with_other_files_is_left_alone(hub, start):
    there = hub.add("kettle/shop-mail", {"model.safetensors": b"theirs"}, private=True)
    before = dict(there.files)
    made = work(start())
    assert made.job.state == State.FAILED
    assert "with files that were not pushed from here" in made.job.message
    assert there.files == before
    assert hub.uploads == []


def test_nothing_of_a_refused_push_is_left_here(hub, start, export, data_dir):
    hub.add("kettle/shop", {"model.safetensors": b"theirs"}, private=True)
    made = work(start(format="merged-bf16", name="shop"))
    assert made.job.state == State.FAILED
    assert not (data_dir / made.folder).exists()


def test_an_empty_repository_that_somebody_made_there_is_used(hub, start):
    there = hub.add("kettle/shop-mail", private=True)
    assert work(start()).job.state == State.SUCCEEDED
    assert "README.md" in there.files


def test_a_public_one_is_not_taken_for_a_private_one(hub, start):
    hub.add("kettle/shop-mail", private=False)
    made = work(start())
    assert "is public, and you asked for a private one" in made.job.message
    assert hub.uploads == []
    again = work(start(name="other", public=True))
    assert again.job.state == State.SUCCEEDED


def test_one_that_belongs_to_somebody_else_is_not_taken(hub, start):
    """It is hidden from us: not found when it is looked for, there when it is made."""
    hub.add("kettle/shop-mail", {"model.safetensors": b"theirs"}, private=True)
    hub.people["hf_other"] = hub.people.pop("hf_kettleLaneWrites")
    hub.add_person("hf_kettleLaneWrites", "somebody", ["kettle"])
    hub.fault("GET", "/api/models/", 404, headers={"X-Error-Code": "RepoNotFound"})
    made = work(start())
    assert made.job.state == State.FAILED
    assert "it belongs to somebody else" in made.job.message
    assert hub.uploads == []


def test_an_account_that_the_token_does_not_belong_to(hub, start):
    hub.people["hf_kettleLaneWrites"]["name"] = "renamed"
    made = work(start())
    assert "may not write to kettle/shop-mail" in made.job.message


def test_a_token_that_was_revoked(hub, start):
    hub.people.clear()
    made = work(start())
    assert made.job.state == State.FAILED
    assert "does not accept your team's token any more" in made.job.message
    hub.add_person("hf_new", "kettle")
    HubToken.objects.update(secret=encrypt("hf_new"))
    pushing.resume(push=made)
    assert work(made).job.state == State.SUCCEEDED


@pytest.mark.parametrize(
    ("where", "status", "words"),
    [
        ("/commit/", 409, "Somebody else changed"),
        ("/commit/", 412, "Somebody else changed"),
        ("/objects/batch", 413, "because of its size"),
        ("/preupload/", 404, "does not find"),
        ("/commit/", 418, "refused it with status 418"),
        ("/api/validate-yaml", 400, "first lines of the model card"),
    ],
)
def test_each_refusal_in_its_own_words(hub, start, where, status, words):
    hub.fault("POST", where, status)
    made = work(start())
    assert made.job.state == State.FAILED
    assert words in made.job.message
    assert "out of order" not in made.job.message  # nothing that a server wrote
    assert len(hub.repositories["model", "kettle/shop-mail"].commits) == 1


def test_somebody_pushes_at_the_same_moment(hub, start):
    """The commit is made on top of what was looked at, or not at all."""

    def meanwhile(method: str, path: str) -> None:
        if "/commit/" in path:
            there = hub.repositories["model", "kettle/shop-mail"]
            there.commit(there.files)

    hub.before = meanwhile
    made = work(start())
    assert "Nothing was overwritten" in made.job.message
    assert "README.md" not in hub.repositories["model", "kettle/shop-mail"].files


@pytest.mark.parametrize("page", [b"<html>sign in</html>", b"[]", b'{"files": 3}', b"\xff"])
def test_answers_that_are_none(hub, start, page):
    hub.others.append(lambda handler, m, path, q, b: page if "/preupload/" in path else None)
    made = work(start())
    assert made.job.state == State.FAILED
    assert "something else than expected" in made.job.message


def test_a_hub_that_names_an_address_inside_the_network_for_the_files():
    """Only a hub that whoever runs Finetune has named may have a private address; an address that
    the public hub names is checked like any other."""
    transport = hub_client.HubTransport(private=False, before=lambda: None)
    with pytest.raises(NotAllowed):
        transport.handle_request(httpx2.Request("PUT", "https://169.254.169.254/x"))
    with pytest.raises(NotAllowed):
        transport.handle_request(httpx2.Request("PUT", "http://127.0.0.1/x"))


def test_a_hub_that_is_down(hub, start):
    hub.fault("GET", "/api/models/", 0, times=100)
    made = work(start())
    assert made.job.state == State.FAILED
    assert "press Continue when the network is back" in made.job.message
    assert "hf_kettle" not in made.job.detail


def test_an_installation_that_is_told_to_stay_offline(hub, start, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = work(start())
    assert "told to stay offline" in made.job.message
    assert hub.requests == []
