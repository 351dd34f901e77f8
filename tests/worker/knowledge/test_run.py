"""An index job: the cache, problems of single documents, interruptions, what is reported."""

import json
import shutil
import weakref

import pytest

from tests.worker.imports.conftest import Recorder
from tests.worker.knowledge.conftest import PUMP, SHOP
from worker.knowledge import document_cache, embedding
from worker.knowledge.readers.reader_process import Reader
from worker.knowledge.search import Index


@pytest.fixture
def embedded(monkeypatch):
    """Numbers of texts that were embedded."""
    counts: list[int] = []
    real = embedding.Embedder.embed_passages

    def count(self, texts):
        counts.append(len(texts))
        return real(self, texts)

    monkeypatch.setattr(embedding.Embedder, "embed_passages", count)
    return counts


def test_add_document_embeds_only_that_one(store, embedded, monkeypatch):
    store.add("pump.md", PUMP)
    store.build_index()
    before = sum(embedded)
    store.add("shop.md", SHOP)
    read = []
    monkeypatch.setattr(
        Reader,
        "read",
        lambda self, file, name, folder, real=Reader.read: (
            read.append(name),
            real(self, file, name, folder),
        )[1],
    )
    result = store.build_index()
    assert read == ["shop.md"]
    assert 0 < sum(embedded) - before < before + 3
    assert result["index"]["documents"] == [1, 2]
    assert Index(store.index_folder).search("How long is the warranty?", 1)[0].document == 1


def test_one_document_is_in_memory_at_a_time(store, monkeypatch):
    """Those of a team may be gigabytes together."""
    for name, content in (("pump.md", PUMP), ("shop.md", SHOP), ("more.md", SHOP)):
        store.add(name, content)
    texts: list[weakref.ref] = []
    most = 0
    real = document_cache.load_text

    def load(folder):
        nonlocal most
        most = max(most, sum(one() is not None for one in texts))
        text = real(folder)
        if text is not None:
            texts.append(weakref.ref(text))
        return text

    monkeypatch.setattr(document_cache, "load_text", load)
    store.build_index()
    assert len(texts) >= 9  # each is read, counted, embedded, and written
    assert most <= 1


def test_load_chunks_of_another_embedder_returns_none(store):
    folder = store.add("pump.md", PUMP)
    store.build_index()
    name = embedding.shared_embedder().name
    assert document_cache.load_chunks(folder, name) is not None
    assert document_cache.load_chunks(folder, "another") is None


def test_save_text_deletes_the_passages_of_an_earlier_text(store):
    folder = store.add("pump.md", PUMP)
    store.build_index()
    text = document_cache.load_text(folder)
    document_cache.save_text(folder, text)
    assert document_cache.load_chunks(folder, embedding.shared_embedder().name) is None


def test_index_empty_document_keeps_the_others(store):
    store.add("pump.md", PUMP)
    store.add("empty.txt", "")
    first, second = store.build_index()["documents"]
    assert (first["problem"], first["passages"]) == ("", 1)
    assert "is empty" in second["problem"]


def test_index_no_readable_document_writes_an_empty_index(store):
    store.add("empty.txt", "")
    result = store.build_index()
    assert result["index"]["passages"] == 0
    assert Index(store.index_folder).search("Anything?", 5) == []


def test_delete_document_during_the_job_does_not_recreate_its_folder(store):
    store.add("pump.md", PUMP)
    gone = store.add("shop.md", SHOP)
    shutil.rmtree(gone)
    result = store.build_index()
    assert "deleted" in result["documents"][1]["problem"]
    assert not gone.exists()


def test_retry_replaces_the_interrupted_index(store):
    store.add("pump.md", PUMP)
    interrupted = store.root / "index-1"
    interrupted.mkdir()
    (interrupted / "left.lance").write_text("from before")
    store.build_index()
    assert not (interrupted / "left.lance").exists()
    assert Index(interrupted).manifest["passages"] == 1


def test_stop_writes_no_index(store):
    class Stopping(Recorder):
        def stopping(self) -> bool:
            return True

    store.add("pump.md", PUMP)
    assert store.build_index(channel=Stopping()) == {"stopped": True}
    assert not store.index_folder.exists()


def test_events_and_result_contain_no_text_of_a_document(store):
    store.add("pump.md", PUMP)
    store.add("bad.docx", "Aldermere secrets, badly wrapped")
    result = store.build_index(
        [{"id": 7, "question": "How long is the warranty?", "answer": "27 months"}]
    )
    reported = json.dumps([result, store.events])
    assert "ldermere" not in reported
    assert "27 months" not in reported
    assert "filter" not in reported


def test_index_with_questions_measures_the_search(store):
    store.add("pump.md", PUMP)
    result = store.build_index(
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
