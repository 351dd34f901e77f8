"""Search: ranking, reasons, nothing for unrelated questions; in this process and in the engine."""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings

from finetune_app.core import engine_client as client
from finetune_app.core.engine_client import EngineUnavailable
from worker.channel import UserError
from worker.engine.retrieval import Retriever, TextTooLong
from worker.knowledge import embedding
from worker.knowledge.search import Index

SECRET = "only for this test"


def test_search_in_other_words_finds_the_passage_by_meaning(index):
    best = index.search("How long am I covered if my new machine breaks?", 1)[0]
    assert best.name == "pump.md"
    assert "27 months" in best.text
    assert "close in meaning" in best.why


def test_search_with_the_same_words_names_them_as_reason(index):
    best = index.search("Kettle Lane parking", 1)[0]
    assert best.name == "shop.md"
    assert best.why.startswith("its words: kettle, lane, parking")


def test_search_returns_where_the_passage_is(indexed, index):
    best = index.search("When is the shop closed?", 1)[0]
    text = (Path(indexed.documents[1]["folder"]) / "text.txt").read_text()
    assert text[best.at :].startswith(best.text)
    assert (best.document, best.title, best.page) == (2, "The shop on Kettle Lane", 0)


@pytest.mark.parametrize("question", ["Who wrote Pride and Prejudice?", "", "   ", "?!", "🙂"])
def test_search_unrelated_question_finds_nothing(index, question):
    assert index.search(question, 5) == []


@pytest.mark.parametrize(
    "question",
    ['the "filter', "filter AND (soap", "filter^3 ~ * : [x", "soap' OR 1=1 --", "a" * 9000],
)
def test_search_treats_query_syntax_as_words(index, question):
    index.search(question, 5)


def test_read_all_passages_returns_the_text_without_overlaps(store):
    sentences = " ".join(f"Rule {n} of the house is written here for everybody." for n in range(60))
    folder = store.add("rules.md", f"# Rules\n\n{sentences}")
    store.build_index()
    passages = Index(store.index_folder).all()
    assert len(passages) > 2
    text = " ".join(passage.text for passage in passages)
    assert text == (folder / "text.txt").read_text().removeprefix("Rules\n\n")


def test_search_index_of_another_embedder_raises(indexed):
    index = Index(indexed.index_folder)
    index.manifest["embedder"] = "other-123"
    with pytest.raises(UserError, match="Read all again"):
        index.search("When is the shop closed?", 5)


def test_open_missing_index_raises(tmp_path):
    with pytest.raises(UserError, match="changed meanwhile"):
        Index(tmp_path)


def test_missing_embedder_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDER", str(tmp_path))
    with pytest.raises(UserError, match="EMBEDDER"):
        embedding.model_folder()


def test_load_embedder_with_code_raises(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    with pytest.raises(UserError, match="code of its own"):
        embedding.Embedder(tmp_path)


def test_slow_first_call_is_not_unloaded_as_idle(monkeypatch):
    """The first call may load the embedder for longer than `idle_unload_seconds`."""
    retriever, closed, done = Retriever(idle_unload_seconds=0.05), [], threading.Event()
    monkeypatch.setattr(retriever, "close", lambda: closed.append(done.is_set()))
    slow = SimpleNamespace(token_counts=lambda texts: [9999])
    monkeypatch.setattr(embedding, "shared_embedder", lambda: time.sleep(0.4) or slow)

    async def embed_slowly() -> None:
        watcher = asyncio.create_task(retriever.unload_when_idle())
        with pytest.raises(TextTooLong):
            await asyncio.to_thread(retriever.embed, ["long"], True, True)
        done.set()
        await asyncio.sleep(0.3)
        watcher.cancel()

    asyncio.run(embed_slowly())
    assert closed
    assert all(closed)


# --- through the engine process ---


@pytest.fixture(scope="module")
def engine(indexed):
    """Socket of a real engine process whose data folder is that of `indexed`."""
    socket = Path(tempfile.mkdtemp()) / "engine.sock"
    names = {"FINETUNE_ENGINE_SECRET": SECRET, "FINETUNE_DATA_DIR": str(indexed.root)}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "worker.engine.server",
            "--socket",
            str(socket),
            "--idle-unload",
            "1.5",
        ],
        cwd=django_settings.BASE_DIR,
        env=os.environ | names | {"OMP_NUM_THREADS": "1"},
    )
    until = time.monotonic() + 60
    while not socket.exists() and time.monotonic() < until:
        time.sleep(0.05)
    yield socket
    process.kill()
    process.wait()


@pytest.fixture
def search(engine, settings):
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = engine, SECRET
    return lambda folder, question, **more: asyncio.run(
        client.search(str(folder), question, **{"count": 2, **more})
    )


def test_search_in_the_engine_finds_the_same(indexed, index, search):
    question = "When is the shop closed?"
    found = search(indexed.index_folder, question)
    assert [one["text"] for one in found] == [one.text for one in index.search(question, 2)]
    assert set(found[0]) == {"document", "name", "title", "page", "at", "text", "score", "why"}


def test_search_whole_in_the_engine_returns_all_documents(indexed, search):
    assert [one["document"] for one in search(indexed.index_folder, "", whole=True)] == [1, 2]


@pytest.mark.parametrize(
    "outside", ["/etc", "index-99", "../index-1", "{root}/../", "{root}/index-99"]
)
def test_search_outside_the_data_folder_raises(indexed, search, outside):
    with pytest.raises(EngineUnavailable, match="data folder"):
        search(outside.format(root=indexed.root), "When?")


def test_search_folder_without_an_index_raises(indexed, search):
    with pytest.raises(EngineUnavailable, match="changed meanwhile"):
        search(indexed.root / "documents", "When?")


def test_idle_engine_unloads_the_embedder(indexed, search):
    search(indexed.index_folder, "When is the shop closed?")
    full = asyncio.run(client.health())["memory_bytes"]
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if asyncio.run(client.health())["memory_bytes"] < full - 40_000_000:
            break
        time.sleep(0.3)
    else:
        raise AssertionError("it never became smaller")
    assert search(indexed.index_folder, "When is the shop closed?")
