"""The documents page: what is there, how its reading gets on, what can be done."""

import pytest

from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge.models import Document, Knowledge
from tests import journey
from tests.knowledge.conftest import add

LIVE = {"HX-Request": "true", "HX-Target": "live"}


def shown(client, url, **query) -> str:
    return client.get(url("page"), query).content.decode()


def test_without_documents_it_asks_for_some(as_editor, url):
    page = shown(as_editor, url)
    assert "Bring the documents that hold the answers" in page
    assert 'type="file"' in page
    assert " multiple" in page


def test_it_lists_them_with_their_state(knowledge, as_viewer, url, goal, owner, now):
    now(add, goal, owner, "letter.docx", "no Word at all")
    Document.objects.filter(name="letter.docx").update(state="failed", message="It is damaged.")
    page = shown(as_viewer, url)
    for words in ("pump.md", "shop.md", "Can be searched", "It is damaged.", "3 documents"):
        assert words in page
    assert "Delete" not in page  # a viewer looks


def test_while_it_reads_the_page_asks_again_and_then_stops(goal, owner, now, as_editor, url):
    now(add, goal, owner)
    job = Job.objects.get(kind="index")
    journey.set_state(job, State.RUNNING, done=3, total=12, unit="passages", message="Taking in")
    reply = as_editor.get(url("page"), {"seen": "running"}, headers=LIVE).content.decode()
    assert "3 of 12 passages taken in" in reply
    assert 'hx-trigger="every 2s"' in reply
    assert "<form" not in reply  # what a person presses stands outside
    journey.set_state(job, State.SUCCEEDED)
    reply = as_editor.get(url("page"), {"seen": "running"}, headers=LIVE).content.decode()
    assert "hx-trigger" not in reply
    assert 'id="document-list" hx-swap-oob="true"' in reply


def test_a_failure_is_told_with_a_way_on(goal, owner, now, as_editor, url):
    now(add, goal, owner)
    journey.set_state(Job.objects.get(kind="index"), State.FAILED, message="The disk is full.")
    page = shown(as_editor, url)
    assert "The disk is full." in page
    assert "Read them" in page
    now(as_editor.post, url("again"))
    assert Knowledge.objects.get().job.state == State.QUEUED


def test_stop_and_go_on(goal, owner, now, as_editor, url):
    now(add, goal, owner)
    now(as_editor.post, url("stop"))
    assert "Some documents are not read yet." in shown(as_editor, url)
    now(as_editor.post, url("again"))
    assert "About to start" in shown(as_editor, url)


def test_an_index_that_was_lost_is_said(knowledge, as_editor, url, data_dir):
    (data_dir / knowledge.index_folder / "index.json").unlink()
    assert "this happens after a restore" in shown(as_editor, url)


def test_what_fits_into_the_prompt_is_said(knowledge, goal, owner, as_viewer, url):
    assert "fits into the prompt" not in shown(as_viewer, url)  # of which model?
    BaseModelChoice.objects.create(goal=goal, base_model=journey.install(), chosen_by=owner)
    Knowledge.objects.update(characters=300)
    assert "All of it fits into the prompt of your base model" in shown(as_viewer, url)
    Knowledge.objects.update(characters=30_000)
    assert "fits into the prompt" not in shown(as_viewer, url)


def test_how_well_it_finds_is_said_with_what_it_missed(knowledge, goal, owner, as_viewer, url):
    version = journey.freeze(goal, owner, 20)
    missed = version.dataset.examples.filter(split="train").first()
    Knowledge.objects.update(practice={"asked": 20, "found": 19, "missed": [missed.pk]})
    page = shown(as_viewer, url)
    assert "Found for 19 of 20 practice questions." in page
    assert missed.prompt[:20] in page


def test_another_embedder_can_take_all_in(knowledge, as_editor, as_viewer, url, now):
    assert "Read all again" in shown(as_editor, url)
    assert "Read all again" not in shown(as_viewer, url)
    now(as_editor.post, url("again"))
    assert Knowledge.objects.get().job.spec["number"] == 2


def test_a_long_list_comes_in_pages(knowledge, as_viewer, url):
    for number in range(120):
        Document.objects.create(
            knowledge=knowledge,
            name=f"x{number:03}.md",
            sha256="0" * 64,
            state="ready",
            folder=f"{knowledge.folder}/documents/{number}",
        )
    first = shown(as_viewer, url)
    assert "x097.md" in first
    assert "x098.md" not in first
    last = Document.objects.get(name="x097.md")
    assert "x119.md" in shown(as_viewer, url, after=last.pk)


@pytest.mark.parametrize("name", ["again", "stop"])
def test_a_viewer_changes_nothing(knowledge, as_viewer, url, name):
    assert as_viewer.post(url(name)).status_code == 403


@pytest.mark.parametrize("name", ["page", "ask"])
def test_a_stranger_sees_nothing(knowledge, as_stranger, url, name):
    assert as_stranger.get(url(name), {"q": "warranty"}).status_code == 404
