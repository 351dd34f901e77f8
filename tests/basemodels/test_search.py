"""Search of the hub: what is found, what of it is believed, and which commit is installed."""

from collections.abc import Iterator

import pytest

from finetune_app.basemodels import hub_search, services
from finetune_app.basemodels.models import BaseModel, HubToken, Install
from finetune_app.core.encryption import encrypt
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import State
from tests.basemodels.conftest import HUB_ID
from tests.hub.stub_hub import TOKEN, StubHub

FACTS = {
    "downloads": 12_345,
    "gated": False,
    "cardData": {"license": "apache-2.0"},
    "safetensors": {"total": 400_000_000, "parameters": {"BF16": 400_000_000}},
}


@pytest.fixture
def stub(monkeypatch) -> Iterator[StubHub]:
    with StubHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        hub.add("kettle/small-instruct", **FACTS)
        yield hub
        assert hub.complaints == []


def test_licence_size_and_downloads_are_shown(as_editor, url, stub):
    page = as_editor.get(url("search"), {"q": "small"}).content.decode()
    for words in ("kettle/small-instruct", "apache-2.0", "400 million", "0.8 GB", "12,345"):
        assert words in page
    commit = stub.repositories["model", "kettle/small-instruct"].commits[-1]
    assert f'name="revision" value="{commit}"' in page


def test_it_asks_as_the_official_client_does(as_editor, url, stub):
    from huggingface_hub import HfApi

    as_editor.get(url("search"), {"q": "small"})
    ours = stub.queries[-1]
    asked = {name: hub_search.ASKED[name] for name in ("pipeline_tag", "filter", "sort", "limit")}
    list(
        HfApi(endpoint=stub.address).list_models(
            search="small", expand=hub_search.ASKED["expand"], **asked
        )
    )
    assert stub.queries[-1] == ours


def test_the_teams_token_goes_along(as_editor, url, stub, team):
    HubToken.objects.create(team=team, secret=encrypt(TOKEN), account="kettle")
    seen = []
    stub.others.append(lambda handler, *asked: seen.append(handler.headers["Authorization"]))
    as_editor.get(url("search"), {"q": "small"})
    assert seen == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("gate", ["auto", "manual"])
def test_a_gated_model_is_explained_step_by_step(as_editor, url, stub, team, gate):
    stub.add("kettle/gated-instruct", **FACTS | {"gated": gate})
    page = as_editor.get(url("search"), {"q": "gated"}).content.decode()
    assert "accept the licence there" in page
    assert ("Wait until its maker agrees" in page) == (gate == "manual")
    assert "An owner of your team saves an access token" in page
    HubToken.objects.create(team=team, secret=encrypt(TOKEN), account="kettle")
    page = as_editor.get(url("search"), {"q": "gated"}).content.decode()
    assert "as kettle" in page
    assert "saved already" in page


def test_what_is_installed_already_is_not_offered(as_editor, url, stub, team):
    from tests.basemodels.conftest import laid

    laid(services.slug_for(team, "kettle/small-instruct"), team=team)
    page = as_editor.get(url("search"), {"q": "small"}).content.decode()
    assert "Installed" in page
    assert 'name="licence_accepted"' not in page


def test_nothing_found_says_so(as_editor, url, stub):
    page = as_editor.get(url("search"), {"q": "zeppelin"}).content.decode()
    assert "No model with these words" in page


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "../../etc/passwd", "sha": "5" * 40},
        {"id": "kettle/x", "sha": "main"},
        {"id": "kettle/x", "sha": "5" * 40 + "\n"},
        {"id": ["kettle/x"], "sha": "5" * 40},
        {"id": "kettle/<script>", "sha": "5" * 40},
        3,
        None,
    ],
)
def test_what_is_no_model_is_left_out(as_editor, url, stub, answer):
    stub.others.append(lambda *asked: [answer])
    reply = as_editor.get(url("search"), {"q": "x"})
    assert reply.status_code == 200
    assert "No model with these words" in reply.content.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"downloads": "many", "gated": 7, "cardData": [], "safetensors": 3, "tags": "x"},
        {"downloads": -5, "gated": {"a": 1}, "cardData": {"license": ["mit"]}, "tags": [3, None]},
        {"safetensors": {"total": True, "parameters": {"BF16": "x", "F32": -3}}},
        {"cardData": {"license": "<img src=x onerror=alert(1)>"}},
        {"downloads": 10**400, "safetensors": {"total": 10**400, "parameters": {"F32": 10**400}}},
        {"tags": ["license:\ud800", "license:a\0b"]},
    ],
)
def test_facts_of_the_wrong_type_are_not_shown(as_editor, url, stub, wrong):
    stub.others.append(lambda *asked: [{"id": "kettle/x", "sha": "5" * 40} | wrong])
    page = as_editor.get(url("search"), {"q": "x"}).content.decode()
    assert "size not told" in page
    assert "<img" not in page


@pytest.mark.parametrize("status", [401, 429, 500, 0])
def test_a_hub_that_does_not_answer_is_said(as_editor, url, stub, status):
    stub.fault("GET", "/api/models", status)
    reply = as_editor.get(url("search"), {"q": "small"})
    assert reply.status_code in (422, 502, 503)
    assert "hub" in reply.content.decode()


def test_words_that_are_none(as_editor, url, stub):
    for words in ("", " ", "x" * 101):
        assert as_editor.get(url("search"), {"q": words}).status_code == 200
    assert stub.requests == []


def test_only_editors_of_the_team(as_viewer, as_stranger, as_editor, url, stub):
    assert as_viewer.get(url("search"), {"q": "small"}).status_code == 403
    assert as_stranger.get(url("search"), {"q": "small"}).status_code == 404
    assert as_editor.post(url("search"), {"q": "small"}).status_code == 405
    assert stub.requests == []


def test_the_commit_that_was_shown_is_the_one_asked_for(as_editor, url, asleep):
    given = {"source": "kettle/small", "licence_accepted": "on", "revision": "a" * 40}
    as_editor.post(url("install"), given)
    made = Install.objects.get()
    assert made.revision == "a" * 40
    assert handler_for(made.job).child_spec(made.job).spec["revision"] == "a" * 40
    for wrong in ("main", "A" * 40, "a" * 39, "../x"):
        assert as_editor.post(url("install"), given | {"revision": wrong}).status_code == 422


@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
def test_licence_and_gate_are_recorded_with_the_commit(install, work, hub, tiny_model):
    repo = hub.add(HUB_ID, tiny_model, commit="b" * 40)
    repo.facts = {"cardData": {"license": "gemma"}, "gated": "manual"}
    made = install()
    Install.objects.filter(pk=made.pk).update(revision="b" * 40)
    assert work(Install.objects.get(pk=made.pk)).state == State.SUCCEEDED
    model = BaseModel.objects.get()
    assert (model.revision, model.licence, model.gated) == ("b" * 40, "gemma", True)
    assert any(path.endswith(f"/revision/{'b' * 40}") for path, *_rest in hub.requests)
