"""A deleted document is gone: its words are in no file any more."""

import sqlite3
from contextlib import closing
from pathlib import Path

from django.conf import settings
from django.db import connection

from finetune_app.goals import services as goals
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge import services
from finetune_app.knowledge.models import Document, Knowledge
from tests.knowledge.conftest import PUMP, add, begin, end, read, work
from worker.knowledge.search import Index

SECRET = "Quillfeather"  # a word that only the deleted document has
PRIVATE = f"# Personnel\n\nMara {SECRET} earns 4,120 a month and leaves in May.\n"


def files_with(word: str) -> list[str]:
    """Every file of the installation that holds these letters, the database and its log too."""
    database = Path(connection.settings_dict["NAME"])
    places = [*Path(settings.DATA_DIR).rglob("*"), *database.parent.glob(f"{database.name}*")]
    wanted = [word.encode(), word.lower().encode(), word.encode("utf-16-le")]
    return [
        str(place)
        for place in places
        if place.is_file() and any(one in place.read_bytes() for one in wanted)
    ]


def dumped() -> str:
    """All that the database says, written or not yet written to its file."""
    if connection.vendor != "sqlite":
        return ""
    with closing(sqlite3.connect(":memory:")) as copy:
        connection.connection.backup(copy)
        return "\n".join(copy.iterdump())


def test_its_words_are_in_no_file_any_more(transactional_db, goal, owner):
    add(goal, owner)
    document = add(goal, owner, "private.md", PRIVATE)
    read(goal)
    assert len(files_with(SECRET)) >= 3  # the search of this test finds what is there
    services.delete_document(document=document)
    assert files_with(SECRET) == []
    knowledge = read(goal)
    assert files_with(SECRET) == []
    assert SECRET not in dumped()
    found = Index(Path(settings.DATA_DIR) / knowledge.index_folder).search("Who earns how much?", 5)
    assert not [passage for passage in found if SECRET in passage.text]


def test_its_words_were_never_in_the_database(transactional_db, goal, owner):
    add(goal, owner, "private.md", PRIVATE)
    read(goal)
    assert SECRET not in dumped()
    folders = {Path(name).relative_to(settings.DATA_DIR).parts[0] for name in files_with(SECRET)}
    assert folders == {"knowledge"}


def test_deleting_while_it_is_read_ends_the_reading(transactional_db, goal, owner):
    add(goal, owner)
    document = add(goal, owner, "private.md", PRIVATE)
    job, order = begin(Job.objects.get(kind="index"))
    result = work(order)  # the child has written its index
    services.delete_document(document=document)
    job.refresh_from_db()
    assert job.cancel_asked
    end(job, result)  # and its result came before it was ended
    assert files_with(SECRET) == []
    knowledge = Knowledge.objects.get(goal=goal)
    assert not knowledge.is_searchable
    assert read(goal).passages == 1


def test_the_last_one_leaves_nothing_to_do(goal, owner, now, data_dir):
    before = set(files_with("Aldermere"))  # of tests whose rows were rolled back
    document = now(add, goal, owner)
    now(read, goal)
    now(services.delete_document, document=document)
    knowledge = Knowledge.objects.get(goal=goal)
    assert (knowledge.index, knowledge.passages, knowledge.job) == (0, 0, None)
    assert not Job.objects.filter(state=State.QUEUED).exists()
    assert set(files_with("Aldermere")) <= before


def test_the_others_are_not_embedded_again(goal, owner, now, monkeypatch):
    from worker.knowledge.embedding import Embedder

    now(add, goal, owner)
    other = now(add, goal, owner, "private.md", PRIVATE)
    now(read, goal)
    now(services.delete_document, document=other)
    monkeypatch.setattr(Embedder, "passages", None)
    assert now(read, goal).passages == 1


def test_documents_go_with_their_goal(transactional_db, goal, owner, data_dir):
    add(goal, owner, "private.md", PRIVATE)
    read(goal)
    goals.delete_goal(goal=goal)
    assert files_with(SECRET) == []
    assert not Document.objects.exists()
    assert not Job.objects.filter(kind="index").exists()


def test_another_documents_same_words_stay(goal, owner, now):
    document = now(add, goal, owner, "one.md", PUMP)
    now(add, goal, owner, "two.md", PUMP + "\nAnd more.")
    now(read, goal)
    now(services.delete_document, document=document)
    assert [name.rpartition("/")[2] for name in files_with("Aldermere")]
    assert now(read, goal).passages >= 1


# ---- From the page ----


def test_an_editor_deletes_and_reads_what_went(knowledge, as_editor, url, now):
    document = knowledge.documents.get(name="pump.md")
    reply = now(as_editor.post, url("delete", document_id=document.pk), follow=True)
    assert "“pump.md” is deleted" in reply.content.decode()
    assert [one.name for one in Document.objects.all()] == ["shop.md"]


def test_a_viewer_deletes_nothing(knowledge, as_viewer, url):
    address = url("delete", document_id=knowledge.documents.first().pk)
    assert as_viewer.post(address).status_code == 403
    assert Document.objects.count() == 2


def test_a_stranger_deletes_nothing(knowledge, as_stranger, url):
    address = url("delete", document_id=knowledge.documents.first().pk)
    assert as_stranger.post(address).status_code == 404
    assert Document.objects.count() == 2
