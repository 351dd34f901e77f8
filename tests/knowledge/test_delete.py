"""Delete a document: its text is in no file any more."""

import sqlite3
from contextlib import closing
from pathlib import Path

from django.conf import settings
from django.db import connection

from finetune_app.goals import services as goals
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge import services
from finetune_app.knowledge.models import Document, Knowledge
from tests.knowledge.conftest import PUMP, add, finish_job, index_documents, run_job, start_job
from worker.knowledge.search import Index

SECRET = "Quillfeather"  # only in the deleted document
PRIVATE = f"# Personnel\n\nMara {SECRET} earns 4,120 a month and leaves in May.\n"


def files_with(word: str) -> list[str]:
    """Every file of the installation that contains the word, including the database and its log."""
    database = Path(connection.settings_dict["NAME"])
    paths = [*Path(settings.DATA_DIR).rglob("*"), *database.parent.glob(f"{database.name}*")]
    wanted = [word.encode(), word.lower().encode(), word.encode("utf-16-le")]
    return [
        str(path)
        for path in paths
        if path.is_file() and any(one in path.read_bytes() for one in wanted)
    ]


def database_dump() -> str:
    """Everything in the database, also what is not yet in its file."""
    if connection.vendor != "sqlite":
        return ""
    with closing(sqlite3.connect(":memory:")) as copy:
        connection.connection.backup(copy)
        return "\n".join(copy.iterdump())


def test_delete_document_removes_its_text_from_every_file(transactional_db, goal, owner):
    add(goal, owner)
    document = add(goal, owner, "private.md", PRIVATE)
    index_documents(goal)
    assert len(files_with(SECRET)) >= 3  # so the check below can fail
    services.delete_document(document=document)
    assert files_with(SECRET) == []
    knowledge = index_documents(goal)
    assert files_with(SECRET) == []
    assert SECRET not in database_dump()
    found = Index(Path(settings.DATA_DIR) / knowledge.index_folder).search("Who earns how much?", 5)
    assert not [passage for passage in found if SECRET in passage.text]


def test_index_document_stores_no_text_in_the_database(transactional_db, goal, owner):
    add(goal, owner, "private.md", PRIVATE)
    index_documents(goal)
    assert SECRET not in database_dump()
    folders = {Path(name).relative_to(settings.DATA_DIR).parts[0] for name in files_with(SECRET)}
    assert folders == {"knowledge"}


def test_delete_document_during_indexing_rejects_the_index(transactional_db, goal, owner):
    add(goal, owner)
    document = add(goal, owner, "private.md", PRIVATE)
    job, spec = start_job(Job.objects.get(kind="index"))
    result = run_job(spec)  # the child has written the index
    services.delete_document(document=document)
    job.refresh_from_db()
    assert job.cancel_asked
    finish_job(job, result)  # reported before the child was stopped
    assert files_with(SECRET) == []
    knowledge = Knowledge.objects.get(goal=goal)
    assert not knowledge.is_searchable
    assert index_documents(goal).passages == 1


def test_delete_last_document_queues_no_job(goal, owner, committed, data_dir):
    before = set(files_with("Aldermere"))  # left by other tests
    document = committed(add, goal, owner)
    committed(index_documents, goal)
    committed(services.delete_document, document=document)
    knowledge = Knowledge.objects.get(goal=goal)
    assert (knowledge.index, knowledge.passages, knowledge.job) == (0, 0, None)
    assert not Job.objects.filter(state=State.QUEUED).exists()
    assert set(files_with("Aldermere")) <= before


def test_delete_document_does_not_embed_the_others_again(goal, owner, committed, monkeypatch):
    from worker.knowledge.embedding import Embedder

    committed(add, goal, owner)
    other = committed(add, goal, owner, "private.md", PRIVATE)
    committed(index_documents, goal)
    committed(services.delete_document, document=other)
    monkeypatch.setattr(Embedder, "embed_passages", None)
    assert committed(index_documents, goal).passages == 1


def test_delete_goal_deletes_its_documents(transactional_db, goal, owner, data_dir):
    add(goal, owner, "private.md", PRIVATE)
    index_documents(goal)
    goals.delete_goal(goal=goal)
    assert files_with(SECRET) == []
    assert not Document.objects.exists()
    assert not Job.objects.filter(kind="index").exists()


def test_delete_document_keeps_the_same_words_of_another(goal, owner, committed):
    document = committed(add, goal, owner, "one.md", PUMP)
    committed(add, goal, owner, "two.md", PUMP + "\nAnd more.")
    committed(index_documents, goal)
    committed(services.delete_document, document=document)
    assert [name.rpartition("/")[2] for name in files_with("Aldermere")]
    assert committed(index_documents, goal).passages >= 1


# --- From the page ---


def test_editor_deletes_document_and_sees_its_name(knowledge, as_editor, url, committed):
    document = knowledge.documents.get(name="pump.md")
    reply = committed(as_editor.post, url("delete", document_id=document.pk), follow=True)
    assert "“pump.md” is deleted" in reply.content.decode()
    assert [one.name for one in Document.objects.all()] == ["shop.md"]


def test_viewer_cannot_delete(knowledge, as_viewer, url):
    address = url("delete", document_id=knowledge.documents.first().pk)
    assert as_viewer.post(address).status_code == 403
    assert Document.objects.count() == 2


def test_stranger_cannot_delete(knowledge, as_stranger, url):
    address = url("delete", document_id=knowledge.documents.first().pk)
    assert as_stranger.post(address).status_code == 404
    assert Document.objects.count() == 2
