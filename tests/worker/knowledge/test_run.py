"""Indexing: what is new is read and embedded, the rest is kept; nothing is told that should not."""

import json

import pytest

from tests.worker.imports.conftest import Recorder
from tests.worker.knowledge.conftest import PUMP, SHOP
from worker.knowledge import document_cache, embedding
from worker.knowledge.readers.reader_process import Reader
from worker.knowledge.search import Index


@pytest.fixture
def embedded(monkeypatch):
    """Counts the texts that are embedded."""
    counts: list[int] = []
    real = embedding.Embedder.passages

    def count(self, texts):
        counts.append(len(texts))
        return real(self, texts)

    monkeypatch.setattr(embedding.Embedder, "passages", count)
    return counts


def test_one_more_document_does_not_embed_all_again(shelf, embedded, monkeypatch):
    shelf.add("pump.md", PUMP)
    shelf.read()
    before = sum(embedded)
    shelf.add("shop.md", SHOP)
    read = []
    monkeypatch.setattr(
        Reader,
        "read",
        lambda self, file, name, into, real=Reader.read: (
            read.append(name),
            real(self, file, name, into),
        )[1],
    )
    result = shelf.read()
    assert read == ["shop.md"]
    assert 0 < sum(embedded) - before < before + 3
    assert result["index"]["documents"] == [1, 2]
    assert Index(shelf.folder).search("How long is the warranty?", 1)[0].document == 1


def test_another_embedder_makes_all_vectors_again(shelf, embedded, monkeypatch):
    folder = shelf.add("pump.md", PUMP)
    shelf.read()
    kept = document_cache.load_passages(folder, embedding.shared_embedder().name)
    assert kept is not None
    assert document_cache.load_passages(folder, "another") is None


def test_a_document_without_text_leaves_the_others(shelf):
    shelf.add("pump.md", PUMP)
    shelf.add("empty.txt", "")
    first, second = shelf.read()["documents"]
    assert (first["problem"], first["passages"]) == ("", 1)
    assert "is empty" in second["problem"]


def test_no_documents_that_can_be_read(shelf):
    shelf.add("empty.txt", "")
    result = shelf.read()
    assert result["index"]["passages"] == 0
    assert Index(shelf.folder).search("Anything?", 5) == []


def test_a_deleted_document_does_not_come_back(shelf):
    """Its folder is gone while the job is on its way to it: nothing is made there again."""
    import shutil

    shelf.add("pump.md", PUMP)
    gone = shelf.add("shop.md", SHOP)
    shutil.rmtree(gone)
    result = shelf.read()
    assert "deleted" in result["documents"][1]["problem"]
    assert not gone.exists()


def test_an_interrupted_index_is_written_anew(shelf):
    shelf.add("pump.md", PUMP)
    half = shelf.root / "index-1"
    half.mkdir()
    (half / "left.lance").write_text("from before")
    shelf.read()
    assert not (half / "left.lance").exists()
    assert Index(half).about["passages"] == 1


def test_stop_keeps_what_was_read(shelf):
    class Stopping(Recorder):
        def stopping(self) -> bool:
            return True

    shelf.add("pump.md", PUMP)
    assert shelf.read(channel=Stopping()) == {"stopped": True}
    assert not shelf.folder.exists()


def test_nothing_that_a_document_says_is_told(shelf):
    """Events and results end up in the database and in logs."""
    shelf.add("pump.md", PUMP)
    shelf.add("bad.docx", "Aldermere secrets, badly wrapped")
    result = shelf.read([{"id": 7, "question": "How long is the warranty?", "answer": "27 months"}])
    told = json.dumps([result, shelf.events])
    assert "ldermere" not in told
    assert "27 months" not in told
    assert "filter" not in told


def test_search_is_measured_on_practice_questions(shelf):
    shelf.add("pump.md", PUMP)
    result = shelf.read(
        [
            {"id": 7, "question": "How long is the warranty?", "answer": "27 months."},
            {
                "id": 8,
                "question": "How often is the filter rinsed?",
                "answer": "You rinse the inlet filter every 30 days with warm water.",
            },
            {"id": 9, "question": "How heavy is the pump?", "answer": "4 kg"},
        ]
    )
    assert result["practice"] == {"asked": 3, "found": 2, "missed": [9]}
