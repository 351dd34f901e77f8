"""From an upload to an index in use."""

import pytest

from finetune_app.core.errors import PlainError
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge import services
from finetune_app.knowledge.models import Document, Knowledge
from tests import journey
from tests.example_rows import conversation
from tests.journey import freeze
from tests.knowledge.conftest import (
    PUMP,
    SHOP,
    add,
    finish_job,
    index_documents,
    run_job,
    start_job,
)
from worker.knowledge.search import Index


def test_index_documents_makes_them_searchable(knowledge, data_dir):
    assert knowledge.index == 1
    assert (knowledge.passages, knowledge.job.state) == (2, State.SUCCEEDED)
    assert {d.state for d in knowledge.documents.all()} == {Document.State.READY}
    index = Index(data_dir / knowledge.index_folder)
    assert index.search("How long is the warranty?", 1)[0].name == "pump.md"


def test_add_several_files_queues_one_job(goal, owner, committed):
    for name, content in (("a.md", PUMP), ("b.md", SHOP)):
        committed(add, goal, owner, name, content)
    assert Job.objects.filter(kind="index").count() == 1


def test_new_index_replaces_the_old_one(knowledge, goal, owner, committed, data_dir):
    committed(add, goal, owner, "more.md", "# More\n\nThe yard has a tap.")
    folder = data_dir / knowledge.folder
    assert (folder / "index-1").exists()  # in use until then
    fresh = committed(index_documents, goal)
    assert fresh.index == 2
    assert [one.name for one in folder.glob("index-*")] == ["index-2"]


def test_add_document_during_indexing_queues_another_job(goal, owner, committed):
    committed(add, goal, owner, "pump.md", PUMP)
    job, spec = start_job(Job.objects.get(kind="index"))
    committed(add, goal, owner, "shop.md", SHOP)
    assert Job.objects.filter(kind="index").count() == 1
    committed(finish_job, job, run_job(spec))
    knowledge = Knowledge.objects.get(goal=goal)
    assert knowledge.index == 1
    assert knowledge.job != job
    assert committed(index_documents, goal).passages == 2


def test_index_bad_document_keeps_the_others(goal, owner, committed):
    committed(add, goal, owner, "pump.md", PUMP)
    committed(add, goal, owner, "letter.docx", "no Word at all")
    knowledge = committed(index_documents, goal)
    bad = knowledge.documents.get(name="letter.docx")
    assert bad.state == Document.State.FAILED
    assert "Its name says a Word document" in bad.message
    assert knowledge.passages == 1


def test_index_only_bad_documents_keeps_no_index(goal, owner, committed, data_dir):
    committed(add, goal, owner, "letter.docx", "no Word at all")
    knowledge = committed(index_documents, goal)
    assert not knowledge.is_searchable
    assert not list((data_dir / knowledge.folder).glob("index-*"))


def test_reindex_retries_a_bad_document(goal, owner, committed):
    committed(add, goal, owner, "letter.docx", "no Word at all")
    committed(index_documents, goal)
    committed(services.reindex, goal=goal)
    document = Document.objects.get()
    assert (document.state, document.message) == (Document.State.WAITING, "")
    assert Knowledge.objects.get(goal=goal).job.state == State.QUEUED


def test_reindex_without_documents_is_rejected(goal):
    with pytest.raises(PlainError, match="no documents"):
        services.reindex(goal=goal)


def test_failed_job_leaves_no_index(goal, owner, committed, data_dir):
    committed(add, goal, owner)
    job, spec = start_job(Job.objects.get(kind="index"))
    run_job(spec)
    journey.set_state(job, State.FAILED)
    committed(handler_for(job).fail, job)
    assert not (data_dir / "knowledge" / str(Knowledge.objects.get().pk) / "index-1").exists()
    assert Document.objects.get().state == Document.State.WAITING


def test_stop_cancels_the_job(goal, owner, committed):
    committed(add, goal, owner)
    committed(services.stop, goal=goal)
    assert Job.objects.get(kind="index").state == State.CANCELLED
    committed(services.reindex, goal=goal)
    assert Knowledge.objects.get().job.state == State.QUEUED


def test_index_measures_search_on_practice_questions_only(goal, owner, committed):
    """The questions of the test split would be missed."""
    version = freeze(goal, owner, 40)
    for row in version.dataset.examples.all():
        is_test = row.split not in ("train", "validation")
        prompt, answer = (
            ("How heavy is it?", "4 kg") if is_test else ("How long is the warranty?", "27 months")
        )
        row.set_messages(conversation(prompt, answer))
        row.save()
    committed(add, goal, owner)
    practice = committed(index_documents, goal).practice
    asked = version.counts["train"] + version.counts["validation"]
    assert practice == {"asked": asked, "found": asked, "missed": []}
