"""Asking the documents, and opening the place that is cited."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from finetune_app.core import engine_client
from finetune_app.core.engine_client import EngineUnavailable
from finetune_app.goals.models import Goal
from finetune_app.knowledge import services
from tests.knowledge.conftest import add, read
from worker.knowledge.search import Index

FOUND = {"HX-Request": "true", "HX-Target": "found"}


@pytest.fixture
def library(monkeypatch):
    """The search itself, without the process around it; remembers which folders were asked."""
    asked: list[str] = []

    async def search(index, question, *, count, whole=False):
        asked.append(index)
        return [asdict(passage) for passage in Index(Path(index)).search(question, count)]

    monkeypatch.setattr(engine_client, "search", search)
    return asked


def test_the_passages_with_why_and_where(knowledge, library, as_viewer, url):
    reply = as_viewer.get(url("ask"), {"q": "How long is the warranty?"}).content.decode()
    assert "27 months" in reply
    assert "its words: warranty" in reply
    document = knowledge.documents.get(name="pump.md")
    assert url("document", document_id=document.pk) + "?at=" in reply


def test_htmx_gets_the_answer_alone(knowledge, library, as_viewer, url):
    reply = as_viewer.get(url("ask"), {"q": "When is the shop closed?"}, headers=FOUND)
    assert reply.content.decode().startswith('<div id="found"')


def test_what_is_not_there_is_said(knowledge, library, as_viewer, url):
    page = as_viewer.get(url("ask"), {"q": "Who wrote Pride and Prejudice?"}).content.decode()
    assert "Not in your documents." in page


def test_no_question_is_asked_for(knowledge, library, as_viewer, url):
    reply = as_viewer.get(url("ask"), {"q": "  "})
    assert reply.status_code == 422
    assert "Write a question first." in reply.content.decode()
    assert not library


def test_before_anything_is_read_it_says_so(goal, owner, now, library, as_viewer, url):
    now(add, goal, owner)
    page = as_viewer.get(url("ask"), {"q": "warranty"}).content.decode()
    assert "cannot be searched yet" in page


def test_an_engine_that_is_away_is_said_plainly(knowledge, as_viewer, url, monkeypatch):
    async def away(*_args, **_more):
        raise EngineUnavailable("The model cannot be reached just now.")

    monkeypatch.setattr(engine_client, "search", away)
    page = as_viewer.get(url("ask"), {"q": "warranty"}).content.decode()
    assert "The model cannot be reached just now." in page


def test_only_the_goals_own_index_is_ever_searched(
    knowledge, library, stranger, as_stranger, as_viewer, url, goal, now, data_dir
):
    """Another team's documents: not by address, not by parameter, not by citation."""
    theirs = Goal.objects.create(team=stranger.teams.get(), name="Theirs", created_by=stranger)
    now(add, theirs, stranger, "secret.md", "# Codes\n\nThe door code of the vault is 4711.")
    now(read, theirs)
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
    assert library == [str(data_dir / knowledge.index_folder)]
    document = theirs.knowledge.documents.get()
    assert as_viewer.get(url("document", document_id=document.pk)).status_code == 404
    assert as_stranger.get(url("ask"), {"q": "warranty"}).status_code == 404


def test_a_document_of_html_stays_words(goal, owner, now, library, as_viewer, url):
    bad = "<script>alert(1)</script> Pumps\n\nA pump with <img src=x onerror=alert(2)> weighs 4 kg."
    now(add, goal, owner, "notes.txt", bad)
    now(read, goal)
    for page in (
        as_viewer.get(url("ask"), {"q": "How heavy is the pump?"}),
        as_viewer.get(url("document", document_id=goal.knowledge.documents.get().pk), {"at": 0}),
    ):
        text = page.content.decode()
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "&lt;script&gt;" in text


# ---- The place ----


def test_a_citation_opens_the_place(knowledge, library, as_viewer, url):
    document = knowledge.documents.get(name="shop.md")
    passage = Index(services.Path(services.settings.DATA_DIR) / knowledge.index_folder).search(
        "When is the shop closed?", 1
    )[0]
    page = as_viewer.get(url("document", document_id=document.pk), {"at": passage.at})
    text = page.content.decode()
    assert 'id="here" tabindex="-1" autofocus' in text  # scrolled to without script
    marked = text.partition("<mark>")[2].partition("</mark>")[0]
    assert marked in passage.text
    assert re.search(r"<h2\s*>\s*The shop on Kettle Lane\s*</h2>", text)


def test_a_long_document_is_shown_in_parts(goal, owner, now, as_viewer, url, monkeypatch):
    monkeypatch.setattr("finetune_app.knowledge.extract.AROUND", 1_200)  # as if ten times as long
    lines = "\n\n".join(f"Rule {n} of the house is kept by everybody." for n in range(100))
    now(add, goal, owner, "rules.txt", lines)
    now(read, goal)
    address = url("document", document_id=goal.knowledge.documents.get().pk)
    first = as_viewer.get(address)
    assert "Rule 0 of" in first.content.decode()
    assert "Rule 99 of" not in first.content.decode()
    after = first.context["extract"].after
    second = as_viewer.get(address, {"from": after})
    assert f"?from={second.context['extract'].before}" in second.content.decode()
    seen = {
        piece.parts[0][0] for reply in (first, second) for piece in reply.context["extract"].pieces
    }
    assert "Rule 60 of the house is kept by everybody." in seen


@pytest.mark.parametrize("at", ["-1", "x", "999999999", "0", ""])
def test_a_place_that_is_not_there_marks_nothing_wrong(knowledge, as_viewer, url, at):
    document = knowledge.documents.first()
    assert as_viewer.get(url("document", document_id=document.pk), {"at": at}).status_code == 200


def test_one_that_was_not_read_says_so(goal, owner, now, as_viewer, url):
    document = now(add, goal, owner)
    page = as_viewer.get(url("document", document_id=document.pk)).content.decode()
    assert "It is not read yet." in page
