"""The documents page: the list, the progress of indexing, the actions."""

import pytest

from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge.models import Document, Knowledge
from tests import journey
from tests.knowledge.conftest import add

LIVE = {"HX-Request": "true", "HX-Target": "live"}


def page_text(client, url, **query) -> str:
    return client.get(url("page"), query).content.decode()


def test_page_without_documents_asks_for_some(as_editor, url):
    page = page_text(as_editor, url)
    assert "Add the documents that hold the answers" in page
    assert 'type="file"' in page
    assert " multiple" in page


def test_page_lists_documents_with_their_state(knowledge, as_viewer, url, goal, owner, committed):
    committed(add, goal, owner, "letter.docx", "no Word at all")
    Document.objects.filter(name="letter.docx").update(state="failed", message="It is damaged.")
    page = page_text(as_viewer, url)
    for words in ("pump.md", "shop.md", "Can be searched", "It is damaged.", "3 documents"):
        assert words in page
    assert "Delete" not in page


def test_page_polls_until_the_job_ends(goal, owner, committed, as_editor, url):
    committed(add, goal, owner)
    job = Job.objects.get(kind="index")
    journey.set_state(job, State.RUNNING, done=3, total=12, unit="passages", message="Taking in")
    reply = as_editor.get(url("page"), {"seen": "running"}, headers=LIVE).content.decode()
    assert "3 of 12 passages taken in" in reply
    assert 'hx-trigger="every 2s"' in reply
    assert "<form" not in reply  # forms are outside of the part that polls
    journey.set_state(job, State.SUCCEEDED)
    reply = as_editor.get(url("page"), {"seen": "running"}, headers=LIVE).content.decode()
    assert "hx-trigger" not in reply
    assert 'id="document-list" hx-swap-oob="true"' in reply


def test_page_after_a_failure_offers_a_retry(goal, owner, committed, as_editor, url):
    committed(add, goal, owner)
    journey.set_state(Job.objects.get(kind="index"), State.FAILED, message="The disk is full.")
    page = page_text(as_editor, url)
    assert "The disk is full." in page
    assert "Read them" in page
    committed(as_editor.post, url("again"))
    assert Knowledge.objects.get().job.state == State.QUEUED


def test_stop_and_reindex_starts_again(goal, owner, committed, as_editor, url):
    committed(add, goal, owner)
    committed(as_editor.post, url("stop"))
    assert "Some documents are not read yet." in page_text(as_editor, url)
    committed(as_editor.post, url("again"))
    assert "About to start" in page_text(as_editor, url)


def test_page_with_a_missing_index_says_so(knowledge, as_editor, url, data_dir):
    (data_dir / knowledge.index_folder / "index.json").unlink()
    assert "Their search index is missing" in page_text(as_editor, url)


def test_page_says_when_all_documents_fit_into_the_prompt(knowledge, goal, owner, as_viewer, url):
    assert "fits into the prompt" not in page_text(as_viewer, url)  # no base model yet
    BaseModelChoice.objects.create(goal=goal, base_model=journey.install(), chosen_by=owner)
    Knowledge.objects.update(characters=300)
    assert "All of it fits into the prompt" in page_text(as_viewer, url)
    Knowledge.objects.update(characters=30_000)
    assert "fits into the prompt" not in page_text(as_viewer, url)


def test_page_shows_search_quality_and_missed_questions(knowledge, goal, owner, as_viewer, url):
    version = journey.freeze(goal, owner, 20)
    missed = version.dataset.examples.filter(split="train").first()
    Knowledge.objects.update(practice={"asked": 20, "found": 19, "missed": [missed.pk]})
    page = page_text(as_viewer, url)
    assert "Found for 19 of 20 practice questions." in page
    assert missed.prompt[:20] in page


def test_reindex_queues_a_new_index(knowledge, as_editor, as_viewer, url, committed):
    assert "Read all again" in page_text(as_editor, url)
    assert "Read all again" not in page_text(as_viewer, url)
    committed(as_editor.post, url("again"))
    assert Knowledge.objects.get().job.spec["number"] == 2


def test_page_with_many_documents_is_paginated(knowledge, as_viewer, url):
    for number in range(120):
        Document.objects.create(
            knowledge=knowledge,
            name=f"x{number:03}.md",
            sha256="0" * 64,
            state="ready",
            folder=f"{knowledge.folder}/documents/{number}",
        )
    first = page_text(as_viewer, url)
    assert "x097.md" in first
    assert "x098.md" not in first
    last = Document.objects.get(name="x097.md")
    assert "x119.md" in page_text(as_viewer, url, after=last.pk)


@pytest.mark.parametrize("name", ["again", "stop"])
def test_viewer_cannot_change_anything(knowledge, as_viewer, url, name):
    assert as_viewer.post(url(name)).status_code == 403


@pytest.mark.parametrize("name", ["page", "ask"])
def test_stranger_sees_nothing(knowledge, as_stranger, url, name):
    assert as_stranger.get(url(name), {"q": "warranty"}).status_code == 404
