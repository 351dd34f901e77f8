"""From an upload to a searchable index: written whole, then switched to."""

import pytest

from finetune_app.core.errors import PlainError
from finetune_app.jobs import services as jobs
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge import services
from finetune_app.knowledge.models import Document, Knowledge
from tests import journey
from tests.example_rows import conversation
from tests.journey import freeze
from tests.knowledge.conftest import PUMP, SHOP, add, begin, end, read, work
from worker.knowledge.search import Index


def test_documents_become_searchable(knowledge, data_dir):
    assert knowledge.index == 1
    assert (knowledge.passages, knowledge.job.state) == (2, State.SUCCEEDED)
    assert {d.state for d in knowledge.documents.all()} == {Document.State.READY}
    index = Index(data_dir / knowledge.index_folder)
    assert index.search("How long is the warranty?", 1)[0].name == "pump.md"


def test_many_files_at_once_are_one_job(goal, owner, now):
    for name, content in (("a.md", PUMP), ("b.md", SHOP)):
        now(add, goal, owner, name, content)
    assert Job.objects.filter(kind="index").count() == 1


def test_the_older_index_goes_when_the_new_one_is_there(knowledge, goal, owner, now, data_dir):
    now(add, goal, owner, "more.md", "# More\n\nThe yard has a tap.")
    folder = data_dir / knowledge.folder
    assert (folder / "index-1").exists()  # searched until then
    fresh = now(read, goal)
    assert fresh.index == 2
    assert [one.name for one in folder.glob("index-*")] == ["index-2"]


def test_a_test_under_way_keeps_the_index_it_searches(knowledge, goal, owner, now, data_dir):
    jobs.create(team=goal.team, kind="evaluation", title="A test", spec={})
    now(add, goal, owner, "more.md", "# More\n\nThe yard has a tap.")
    now(read, goal)
    assert (data_dir / knowledge.folder / "index-1" / "index.json").exists()


def test_what_comes_while_others_are_read_is_read_next(goal, owner, now):
    now(add, goal, owner, "pump.md", PUMP)
    job, order = begin(Job.objects.get(kind="index"))
    now(add, goal, owner, "shop.md", SHOP)
    assert Job.objects.filter(kind="index").count() == 1
    now(end, job, work(order))
    knowledge = Knowledge.objects.get(goal=goal)
    assert knowledge.index == 1
    assert knowledge.job != job
    assert now(read, goal).passages == 2


def test_one_bad_document_leaves_the_others(goal, owner, now):
    now(add, goal, owner, "pump.md", PUMP)
    now(add, goal, owner, "letter.docx", "no Word at all")
    knowledge = now(read, goal)
    bad = knowledge.documents.get(name="letter.docx")
    assert bad.state == Document.State.FAILED
    assert "Its name says a Word document" in bad.message
    assert knowledge.passages == 1


def test_only_bad_documents_leave_nothing_to_search(goal, owner, now, data_dir):
    now(add, goal, owner, "letter.docx", "no Word at all")
    knowledge = now(read, goal)
    assert not knowledge.is_searchable
    assert not list((data_dir / knowledge.folder).glob("index-*"))


def test_read_again_gives_a_bad_one_another_try(goal, owner, now):
    now(add, goal, owner, "letter.docx", "no Word at all")
    now(read, goal)
    now(services.read_again, goal=goal)
    document = Document.objects.get()
    assert (document.state, document.message) == (Document.State.WAITING, "")
    assert Knowledge.objects.get(goal=goal).job.state == State.QUEUED


def test_nothing_to_read_is_said(goal):
    with pytest.raises(PlainError, match="no documents"):
        services.read_again(goal=goal)


def test_a_failed_job_leaves_no_half_index(goal, owner, now, data_dir):
    now(add, goal, owner)
    job, order = begin(Job.objects.get(kind="index"))
    work(order)
    journey.set_state(job, State.FAILED)
    now(handler_for(job).fail, job)
    assert not (data_dir / "knowledge" / str(Knowledge.objects.get().pk) / "index-1").exists()
    assert Document.objects.get().state == Document.State.WAITING


def test_stopping_ends_the_reading(goal, owner, now):
    now(add, goal, owner)
    now(services.stop, goal=goal)
    assert Job.objects.get(kind="index").state == State.CANCELLED
    now(services.read_again, goal=goal)
    assert Knowledge.objects.get().job.state == State.QUEUED


def test_search_is_measured_on_practice_questions_alone(goal, owner, now):
    """The sealed rows are not asked; here they would be the only ones that find nothing."""
    version = freeze(goal, owner, 40)
    for row in version.dataset.examples.all():
        sealed = row.split not in ("train", "validation")
        prompt, answer = (
            ("How heavy is it?", "4 kg") if sealed else ("How long is the warranty?", "27 months")
        )
        row.set_messages(conversation(prompt, answer))
        row.save()
    now(add, goal, owner)
    found = now(read, goal).practice
    asked = version.counts["train"] + version.counts["validation"]
    assert found == {"asked": asked, "found": asked, "missed": []}
