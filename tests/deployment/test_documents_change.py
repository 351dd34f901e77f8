"""Documents change while a version that looks things up in them is live."""

import shutil

import pytest

from finetune_app.candidates import services as candidates
from finetune_app.core.errors import PlainError
from finetune_app.deployment import services
from finetune_app.deployment.models import Release
from finetune_app.knowledge import services as documents
from finetune_app.knowledge.models import Knowledge
from tests.knowledge.conftest import (
    _delete_files,
    add,
    committed,
    index_documents,
    knowledge,
    start_job,
)

__all__ = ["_delete_files", "committed", "knowledge"]


@pytest.fixture
def release(goal, owner, tuned, knowledge) -> Release:
    candidate = candidates.rag_candidate(goal=goal, base_model=tuned.base_model)
    return services.go_live(goal=goal, candidate=candidate, by=owner)


def searched(release: Release) -> str:
    """The index that answers."""
    candidate = Release.objects.get(pk=release.pk).candidate
    return str(candidates.candidate_spec(candidate)["knowledge"]["index"])


def test_a_live_version_keeps_the_documents_it_was_made_with(goal, owner, release, committed):
    before = searched(release)
    committed(add, goal, owner, "prices.md", "# Prices\n\nA pump costs 12 euros.\n")
    committed(index_documents, goal)
    committed(documents.reindex, goal=goal)
    committed(index_documents, goal)
    assert searched(release) == before


def test_an_index_that_nothing_searches_is_deleted(goal, knowledge, committed, data_dir):
    committed(documents.reindex, goal=goal)
    committed(index_documents, goal)
    found = [path.name for path in (data_dir / knowledge.folder).glob("index-*")]
    assert found == [f"index-{knowledge.last_index + 1}"]


def test_a_deleted_document_is_not_searched_by_what_is_live(
    goal, owner, release, knowledge, committed, as_editor, url
):
    number = release.candidate.knowledge_index
    document = knowledge.documents.first()
    page = committed(
        as_editor.post, url("knowledge:delete", document_id=document.pk), follow=True
    ).content.decode()
    assert "cannot answer any more" in page
    committed(index_documents, goal)
    assert documents.manifest_of(knowledge, number) is None
    shown = as_editor.get(url("page")).content.decode()
    assert "It cannot answer now." in shown
    assert "The documents have changed" in shown
    assert "Choose what answers" in shown
    with pytest.raises(PlainError, match="documents have changed"):
        services.roll_back(deployment=release.deployment, to=release, by=owner)


@pytest.mark.parametrize("begun", [False, True])
def test_after_a_restore_in_the_middle_of_reading_what_is_live_searches_again(
    begun, goal, owner, release, knowledge, committed, data_dir
):
    """The backup was taken while a document that had just been added waited, or was read."""
    before = searched(release)
    tested_with = sorted(knowledge.documents.values_list("pk", flat=True))
    committed(add, goal, owner, "prices.md", "# Prices\n\nA pump costs 12 euros.\n")
    if begun:
        start_job(Knowledge.objects.get(goal=goal).job)
    shutil.rmtree(data_dir / knowledge.index_folder)
    assert committed(documents.rebuild_missing_indexes) == 1
    committed(index_documents, goal)
    assert searched(release) == before
    index = documents.manifest_of(knowledge, release.candidate.knowledge_index)
    assert index["documents"] == tested_with
    committed(index_documents, goal)  # then the document that waited
    assert not Knowledge.objects.get(goal=goal).documents.waiting().exists()
    assert searched(release) == before


def test_what_is_live_outlives_a_document_that_came_after_it(
    goal, owner, release, committed, as_editor, url
):
    before = searched(release)
    later = committed(add, goal, owner, "prices.md", "# Prices\n\nA pump costs 12 euros.\n")
    committed(index_documents, goal)
    page = committed(as_editor.post, url("knowledge:delete", document_id=later.pk), follow=True)
    assert "cannot answer any more" not in page.content.decode()
    committed(index_documents, goal)
    assert searched(release) == before


def test_an_old_copy_with_a_deleted_document_is_not_searched_either(
    goal, release, knowledge, committed, data_dir
):
    """As on another host, where it may lie for a minute."""
    old = data_dir / knowledge.index_folder
    copy = shutil.copytree(old, data_dir / "knowledge" / "copy")
    committed(documents.delete_document, document=knowledge.documents.first())
    committed(index_documents, goal)
    shutil.copytree(copy, old)
    with pytest.raises(PlainError, match="documents have changed"):
        searched(release)


def test_after_a_restore_what_is_live_searches_again(goal, release, knowledge, committed, data_dir):
    before = searched(release)
    shutil.rmtree(data_dir / knowledge.index_folder)
    with pytest.raises(PlainError):
        searched(release)
    assert committed(documents.rebuild_missing_indexes) == 1
    committed(index_documents, goal)
    assert searched(release) == before
    committed(documents.reindex, goal=goal)
    committed(index_documents, goal)
    assert searched(release) == before
