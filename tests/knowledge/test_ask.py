"""Search the documents, and open the cited passage."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from finetune_app.core import engine_client
from finetune_app.core.engine_client import EngineUnavailable
from finetune_app.goals.models import Goal
from finetune_app.knowledge import services
from tests.knowledge.conftest import add, index_documents
from worker.knowledge.search import Index

RESULTS_ONLY = {"HX-Request": "true", "HX-Target": "found"}


@pytest.fixture
def searched(monkeypatch):
    """Searches without the engine process. Returns the folders that were searched."""
    searched: list[str] = []

    async def search(index, question, *, count, whole=False, caller=""):
        searched.append(index)
        return [asdict(passage) for passage in Index(Path(index)).search(question, count)]

    monkeypatch.setattr(engine_client, "search", search)
    return searched


def test_search_shows_passages_with_reasons_and_links(knowledge, searched, as_viewer, url):
    reply = as_viewer.get(url("ask"), {"q": "How long is the warranty?"}).content.decode()
    assert "27 months" in reply
    assert "its words: warranty" in reply
    document = knowledge.documents.get(name="pump.md")
    assert url("document", document_id=document.pk) + "?at=" in reply


def test_search_by_htmx_returns_only_the_results(knowledge, searched, as_viewer, url):
    reply = as_viewer.get(url("ask"), {"q": "When is the shop closed?"}, headers=RESULTS_ONLY)
    assert reply.content.decode().startswith('<div id="found"')


def test_search_unrelated_question_says_nothing_was_found(knowledge, searched, as_viewer, url):
    page = as_viewer.get(url("ask"), {"q": "Who wrote Pride and Prejudice?"}).content.decode()
    assert "Not in your documents." in page


def test_search_without_a_question_is_rejected(knowledge, searched, as_viewer, url):
    reply = as_viewer.get(url("ask"), {"q": "  "})
    assert reply.status_code == 422
    assert "Write a question first." in reply.content.decode()
    assert not searched


def test_search_before_indexing_says_so(goal, owner, committed, searched, as_viewer, url):
    committed(add, goal, owner)
    page = as_viewer.get(url("ask"), {"q": "warranty"}).content.decode()
    assert "cannot be searched yet" in page


def test_search_without_an_engine_says_so(knowledge, as_viewer, url, monkeypatch):
    async def unavailable(*_args, **_more):
        raise EngineUnavailable("The model cannot be reached just now.")

    monkeypatch.setattr(engine_client, "search", unavailable)
    page = as_viewer.get(url("ask"), {"q": "warranty"}).content.decode()
    assert "The model cannot be reached just now." in page


def test_search_never_reaches_another_teams_documents(
    knowledge, searched, stranger, as_stranger, as_viewer, url, goal, committed, data_dir
):
    theirs = Goal.objects.create(team=stranger.teams.get(), name="Theirs", created_by=stranger)
    committed(add, theirs, stranger, "secret.md", "# Codes\n\nThe door code of the vault is 4711.")
    committed(index_documents, theirs)
    page = as_viewer.get(
        url("ask"),
        {
            "q": "What is the door code of the vault?",
            "index": f"knowledge/{theirs.knowledge.pk}",
            "goal": theirs.pk,
            "knowledge": theirs.knowledge.pk,
        },
    )
    assert "4711" not in page.content.decode()
    assert searched == [str(data_dir / knowledge.index_folder)]
    document = theirs.knowledge.documents.get()
    assert as_viewer.get(url("document", document_id=document.pk)).status_code == 404
    assert as_stranger.get(url("ask"), {"q": "warranty"}).status_code == 404


def test_markup_in_a_document_is_escaped(goal, owner, committed, searched, as_viewer, url):
    bad = "<script>alert(1)</script> Pumps\n\nA pump with <img src=x onerror=alert(2)> weighs 4 kg."
    committed(add, goal, owner, "notes.txt", bad)
    committed(index_documents, goal)
    for page in (
        as_viewer.get(url("ask"), {"q": "How heavy is the pump?"}),
        as_viewer.get(url("document", document_id=goal.knowledge.documents.get().pk), {"at": 0}),
    ):
        text = page.content.decode()
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "&lt;script&gt;" in text


# --- The document's page ---


def test_open_citation_marks_the_passage(knowledge, searched, as_viewer, url):
    document = knowledge.documents.get(name="shop.md")
    passage = Index(services.Path(services.settings.DATA_DIR) / knowledge.index_folder).search(
        "When is the shop closed?", 1
    )[0]
    page = as_viewer.get(url("document", document_id=document.pk), {"at": passage.at})
    text = page.content.decode()
    assert 'id="here" tabindex="-1" autofocus' in text  # scrolled to without a script
    marked = text.partition("<mark>")[2].partition("</mark>")[0]
    assert marked in passage.text
    assert re.search(r"<h2\s*>\s*The shop on Kettle Lane\s*</h2>", text)


def test_open_long_document_shows_it_in_parts(goal, owner, committed, as_viewer, url, monkeypatch):
    monkeypatch.setattr("finetune_app.knowledge.extract.CONTEXT_CHARACTERS", 1_200)
    lines = "\n\n".join(f"Rule {n} of the house is kept by everybody." for n in range(100))
    committed(add, goal, owner, "rules.txt", lines)
    committed(index_documents, goal)
    address = url("document", document_id=goal.knowledge.documents.get().pk)
    first = as_viewer.get(address)
    assert "Rule 0 of" in first.content.decode()
    assert "Rule 99 of" not in first.content.decode()
    after = first.context["extract"].after
    second = as_viewer.get(address, {"from": after})
    assert f"?from={second.context['extract'].before}" in second.content.decode()
    seen = {
        block.parts[0][0] for reply in (first, second) for block in reply.context["extract"].blocks
    }
    assert "Rule 60 of the house is kept by everybody." in seen


@pytest.mark.parametrize("at", ["-1", "x", "999999999", "0", ""])
def test_open_document_at_an_invalid_offset_succeeds(knowledge, as_viewer, url, at):
    document = knowledge.documents.first()
    assert as_viewer.get(url("document", document_id=document.pk), {"at": at}).status_code == 200


def test_open_document_before_it_is_read_says_so(goal, owner, committed, as_viewer, url):
    document = committed(add, goal, owner)
    page = as_viewer.get(url("document", document_id=document.pk)).content.decode()
    assert "It is not read yet." in page
