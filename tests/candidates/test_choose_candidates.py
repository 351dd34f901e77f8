"""Choosing one or two candidates to chat with: local, remote or with documents."""

import json
import re

import pytest
from django.urls import reverse

from finetune_app.candidates import drafts, selection, services
from finetune_app.core import engine_client
from finetune_app.knowledge.models import Knowledge
from finetune_app.knowledge.services import delete_indexes
from finetune_app.providers.client import RemoteError
from tests import journey
from tests.candidates.workbench_helpers import HELLO, text

FOUND = [
    {
        "document": 7,
        "name": "handbook.md",
        "title": "Pumps",
        "page": 3,
        "at": 120,
        "text": "The pump is rated 90 W.",
        "score": 1.0,
        "why": "words",
    },
    {
        "document": 8,
        "name": "prices.csv",
        "title": "",
        "page": 0,
        "at": 0,
        "text": "Pump: 40 €",
        "score": 0.5,
        "why": "meaning",
    },
]


def base_model_of(goal):
    return drafts.chosen_base_model(goal).base_model


def events(reply) -> list[dict]:
    return [json.loads(line) for line in b"".join(reply).splitlines()]


@pytest.fixture
def ready(goal, owner):
    return journey.ready(goal, owner)


@pytest.fixture
def kept(ready, owner):
    draft = drafts.draft_of(goal=ready, user=owner)
    drafts.save_draft(draft=draft, instructions="Be brief.")
    return drafts.save_version(draft=draft)


@pytest.fixture
def documents(ready, monkeypatch) -> Knowledge:
    """Indexed documents, and a search that finds two passages."""
    knowledge = Knowledge.objects.create(goal=ready, index=1, characters=90_000, passages=40)
    journey.write(f"{knowledge.index_folder}/index.json", "{}")
    knowledge.asked = []

    async def search(index, question, *, count, whole=False, caller=""):
        knowledge.asked.append((index, question, count))
        return FOUND

    monkeypatch.setattr(engine_client, "search", search)
    return knowledge


def by_default(goal) -> list[str]:
    return [
        one.label for one in selection.selected_options(goal, selection.candidate_options(goal))
    ]


# ---- The default selection ----


def test_the_base_model_is_selected_when_there_is_nothing_else(
    as_viewer, ready, engine_requests, url
):
    assert by_default(ready) == ["Base"]
    page = text(as_viewer.post(url("chat"), HELLO))
    assert "Ask it" in page
    assert "base says hello" in page
    assert [request["candidate"] for request in engine_requests[0]["requests"]] == ["base"]


def test_base_and_the_newest_version_are_selected(ready, kept):
    assert by_default(ready) == ["Base", "Instructions 1"]


def test_base_and_tuned_are_selected(ready, kept, owner):
    journey.trained(ready, owner)
    assert by_default(ready) == ["Base", "Tuned"]


def test_base_and_documents_are_selected(ready, documents):
    assert by_default(ready) == ["Base", "With documents"]


def test_a_remote_model_is_selected_without_a_local_one(
    as_viewer, goal, platform, team, owner, url
):
    endpoint = platform.endpoint(team, owner)
    assert by_default(goal) == [endpoint.name]
    assert "It is 5." in text(as_viewer.post(url("chat"), HELLO))


# ---- Selected by key ----


def test_any_two_candidates_can_be_selected(as_viewer, ready, kept, engine_requests, owner, url):
    training = journey.trained(ready, owner)
    query = f"?a=kept-{kept.pk}&b=training-{training.number}"
    page = text(as_viewer.post(url("chat") + query, HELLO))
    assert f"kept-{kept.pk} says hello" in page
    assert "tuned says hello" in page
    requests = {request["candidate"]: request for request in engine_requests[0]["requests"]}
    assert requests[f"kept-{kept.pk}"]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert requests["tuned"]["adapter"].endswith("adapter")


def test_two_trainings_have_different_names(as_viewer, ready, engine_requests, owner, url):
    for _n in range(2):
        journey.trained(ready, owner)
    as_viewer.post(url("chat") + "?a=training-1&b=training-2", HELLO)
    assert [request["candidate"] for request in engine_requests[0]["requests"]] == [
        "tuned",
        "training-2",
    ]


def test_one_candidate_can_be_selected(as_viewer, ready, kept, engine_requests, url):
    for query in (f"?a=kept-{kept.pk}&b=", f"?a=kept-{kept.pk}&b=kept-{kept.pk}"):
        as_viewer.post(url("chat") + query, HELLO)
        assert [request["candidate"] for request in engine_requests[-1]["requests"]] == [
            f"kept-{kept.pk}"
        ]


def test_an_unknown_key_is_ignored(as_viewer, ready, kept, engine_requests, url):
    assert as_viewer.get(url("chat") + "?a=kept-999999&b=<script>").status_code == 200
    as_viewer.post(url("chat") + "?a=kept-999999", HELLO)
    assert len(engine_requests[0]["requests"]) == 2


def test_another_goals_versions_are_not_there(as_stranger, stranger, kept):
    goal = stranger.teams.get().goals.create(name="Theirs", created_by=stranger)
    assert not [one for one in selection.candidate_options(goal) if one.key == f"kept-{kept.pk}"]


# ---- With documents ----


def test_passages_are_retrieved_and_cited(as_viewer, ready, documents, engine_requests, url):
    page = text(as_viewer.post(url("chat"), {"question": "How strong is the pump?"}))
    assert documents.asked[0][1] == "How strong is the pump?"
    requests = {
        request["candidate"]: request["messages"] for request in engine_requests[0]["requests"]
    }
    assert "The pump is rated 90 W." in requests["documents"][-1]["content"]
    assert "The pump" not in str(requests["base"])
    assert "Looked up in your documents" in page
    assert page.index("handbook.md") < page.index("prices.csv")
    there = reverse("knowledge:document", args=[ready.pk, 7])
    assert f'<a href="{there}?at=120">handbook.md</a>' in page
    assert "page 3" in page


@pytest.mark.parametrize(
    ("question", "searches"),
    [("How strong is the pump?", ["whole"]), ("How strong is it? " * 40, ["whole", "best"])],
)
def test_documents_are_searched_beside_a_long_question(
    as_viewer, ready, documents, engine_requests, url, monkeypatch, question, searches
):
    """Two passages that a prompt for 512 tokens holds beside a short question only."""
    Knowledge.objects.update(characters=300)
    asked = []

    async def search(index, question, *, count, whole=False, caller=""):
        asked.append("whole" if whole else "best")
        return [found | {"text": "x" * 150} for found in FOUND] if whole else FOUND[1:]

    monkeypatch.setattr(engine_client, "search", search)
    as_viewer.post(url("chat"), {"question": question})
    assert asked == searches
    requests = {request["candidate"]: request for request in engine_requests[0]["requests"]}
    given = requests["documents"]["messages"][-1]["content"]
    assert ("[2]" in given) == (searches == ["whole"])


def test_citations_are_streamed(as_viewer, ready, documents, engine_requests, url):
    found = events(as_viewer.post(url("chat_stream"), HELLO))
    (cited,) = [event["cited"] for event in found if "cited" in event]
    assert [one["name"] for one in cited] == ["handbook.md", "prices.csv"]
    assert next(event["candidate"] for event in found if "cited" in event) == "documents"


def test_changed_documents_are_reported(as_viewer, ready, documents, url):
    candidate = services.rag_candidate(goal=ready, base_model=base_model_of(ready))
    candidate.saved = True
    candidate.save()
    Knowledge.objects.update(index=2)
    delete_indexes(documents.folder, keep=[2])
    reply = as_viewer.post(url("chat") + f"?a=kept-{candidate.pk}", HELLO)
    assert reply.status_code == 422
    assert "The documents have changed" in text(reply)
    streamed = as_viewer.post(url("chat_stream") + f"?a=kept-{candidate.pk}", HELLO)
    assert "The documents have changed" in streamed.json()["error"]


# ---- Remote models ----


def test_a_local_and_a_remote_model_stream_together(
    as_viewer,
    ready,
    engine_requests,
    platform,
    team,
    owner,
    url,
):
    endpoint = platform.endpoint(team, owner)
    base = base_model_of(ready)
    query = f"?a=base-{base.pk}&b=endpoint-{endpoint.pk}"
    found = events(as_viewer.post(url("chat_stream") + query, HELLO))
    remote_text = "".join(
        e.get("text", "") for e in found if e["candidate"] == f"endpoint-{endpoint.pk}"
    )
    assert remote_text == "It is 5. "
    assert {e["candidate"] for e in found if e.get("done")} == {"base", f"endpoint-{endpoint.pk}"}


def test_a_remote_error_does_not_stop_the_local_model(
    as_viewer,
    ready,
    engine_requests,
    platform,
    team,
    owner,
    url,
):
    endpoint = platform.endpoint(team, owner, "wrong key")
    query = f"?a=base-{base_model_of(ready).pk}&b=endpoint-{endpoint.pk}"
    page = text(as_viewer.post(url("chat") + query, HELLO))
    assert "base says hello" in page
    assert "did not accept the key" in page


def test_a_missing_engine_does_not_stop_the_remote_model(
    as_viewer, ready, platform, team, owner, url, settings, tmp_path
):
    settings.ENGINE_SOCKET = tmp_path / "engine.sock"
    endpoint = platform.endpoint(team, owner)
    query = f"?a=base-{base_model_of(ready).pk}&b=endpoint-{endpoint.pk}"
    page = text(as_viewer.post(url("chat") + query, HELLO))
    assert "It is 5." in page
    assert "cannot be reached just now" in page


def test_a_lost_key_is_reported(as_viewer, goal, platform, team, owner, url):
    endpoint = platform.endpoint(team, owner)
    endpoint.secret = "not ours"
    endpoint.save()
    with pytest.raises(RemoteError):
        selection.services.target_of(endpoint)
    reply = as_viewer.post(url("chat"), HELLO)
    assert reply.status_code == 422
    assert "enter it again" in text(reply)


# ---- Hidden names ----


def headings(page: str) -> list[str]:
    return re.findall(r"<h2> ?([^<]+?) <small>", page.split("<template")[1])


def test_names_are_hidden_and_columns_are_shuffled(as_viewer, ready, kept, engine_requests, url):
    assert by_default(ready) == ["Base", "Instructions 1"]
    moved = as_viewer.get(url("chat") + "?hide=new")
    assert moved.status_code == 302
    page = text(as_viewer.get(moved["Location"]))
    assert headings(page) == ["A", "B"]
    orders = {
        tuple(
            v.name
            for v in selection.chat_columns(
                selection.selected_options(ready, selection.candidate_options(ready)),
                selection.new_seed(),
            )
        )
        for _try in range(64)
    }
    assert len(orders) == 2


def test_a_guess_reveals_the_names_and_keeps_the_conversation(
    as_viewer,
    ready,
    kept,
    engine_requests,
    url,
):
    seed = selection.new_seed()
    address = url("chat") + f"?hide={seed}"
    asked = as_viewer.post(address, HELLO)
    assert "Which is “Instructions 1”?" in text(asked)
    order = [one.letter for one in asked.context["columns"] if one.is_ours]
    history = asked.context["history"]
    right = text(as_viewer.post(address, {"history": history, "guess": order[0]}))
    assert "You guessed right." in right
    assert "Is my bike ready?" in right
    wrong = text(as_viewer.post(address, {"history": history, "guess": "AB".strip(order[0])}))
    assert "It is the other one." in wrong
    shown = as_viewer.post(address, {"history": history, "reveal": "1"})
    assert f"seed={seed}" in text(shown)  # the order of the columns is kept
    assert [one.letter for one in shown.context["columns"] if one.is_ours] == order


def test_details_that_reveal_a_name_are_hidden(as_viewer, ready, documents, engine_requests, url):
    page = text(as_viewer.post(url("chat") + "?hide=1234", HELLO))
    assert "handbook.md" not in page
