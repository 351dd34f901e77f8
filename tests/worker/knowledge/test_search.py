"""Asking: the right passage first, why it fits, nothing when nothing fits."""

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


def test_it_finds_by_meaning_what_is_said_in_other_words(index):
    best = index.search("How long am I covered if my new machine breaks?", 1)[0]
    assert best.name == "pump.md"
    assert "27 months" in best.text
    assert "close in meaning" in best.why


def test_it_finds_by_words(index):
    best = index.search("Kettle Lane parking", 1)[0]
    assert best.name == "shop.md"
    assert best.why.startswith("its words: kettle, lane, parking")


def test_a_passage_says_where_it_stands(shop, index):
    best = index.search("When is the shop closed?", 1)[0]
    text = (Path(shop.documents[1]["folder"]) / "text.txt").read_text()
    assert text[best.at :].startswith(best.text)
    assert (best.document, best.title, best.page) == (2, "The shop on Kettle Lane", 0)


@pytest.mark.parametrize("question", ["Who wrote Pride and Prejudice?", "", "   ", "?!", "🙂"])
def test_what_the_documents_do_not_speak_of_is_not_found(index, question):
    assert index.search(question, 5) == []


@pytest.mark.parametrize(
    "question",
    ['the "filter', "filter AND (soap", "filter^3 ~ * : [x", "soap' OR 1=1 --", "a" * 9000],
)
def test_a_question_is_words_and_never_a_query_language(index, question):
    index.search(question, 5)


def test_all_of_it_in_order_and_nothing_twice(shelf):
    sentences = " ".join(f"Rule {n} of the house is written here for everybody." for n in range(60))
    folder = shelf.add("rules.md", f"# Rules\n\n{sentences}")
    shelf.read()
    passages = Index(shelf.folder).all()
    assert len(passages) > 2
    said = " ".join(passage.text for passage in passages)
    assert said == (folder / "text.txt").read_text().removeprefix("Rules\n\n")


def test_another_embedders_index_is_not_compared_with_this_one(shop, monkeypatch):
    index = Index(shop.folder)
    index.about = index.about | {"embedder": "other-123"}
    with pytest.raises(UserError, match="Read all again"):
        index.search("When is the shop closed?", 5)


def test_an_index_that_went_says_so(tmp_path):
    with pytest.raises(UserError, match="changed meanwhile"):
        Index(tmp_path)


def test_an_embedder_that_is_not_there_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDER", str(tmp_path))
    with pytest.raises(UserError, match="EMBEDDER"):
        embedding.folder()


def test_an_embedder_with_code_of_its_own_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    with pytest.raises(UserError, match="code of its own"):
        embedding.Embedder(tmp_path)


def test_nothing_is_let_go_while_somebody_waits_for_it(monkeypatch):
    """The first question imports and loads for seconds, longer than some say that idle is."""
    retriever, let_go, done = Retriever(idle_unload_seconds=0.05), [], threading.Event()
    monkeypatch.setattr(retriever, "close", lambda: let_go.append(done.is_set()))
    slow = SimpleNamespace(lengths=lambda texts: [9999])
    monkeypatch.setattr(embedding, "shared_embedder", lambda: time.sleep(0.4) or slow)

    async def ask() -> None:
        watcher = asyncio.create_task(retriever.unload_when_idle())
        with pytest.raises(TextTooLong):
            await asyncio.to_thread(retriever.embed, ["long"], True, True)
        done.set()
        await asyncio.sleep(0.3)
        watcher.cancel()

    asyncio.run(ask())
    assert let_go
    assert all(let_go)


# ---- through the engine process ----


@pytest.fixture(scope="module")
def engine(shop):
    """The real process, allowed to read the shop's folder and nothing else."""
    place = Path(tempfile.mkdtemp()) / "engine.sock"
    names = {"FINETUNE_ENGINE_SECRET": SECRET, "FINETUNE_DATA_DIR": str(shop.root)}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "worker.engine.server",
            "--socket",
            str(place),
            "--idle-unload",
            "1.5",
        ],
        cwd=django_settings.BASE_DIR,
        env=os.environ | names | {"OMP_NUM_THREADS": "1"},
    )
    until = time.monotonic() + 60
    while not place.exists() and time.monotonic() < until:
        time.sleep(0.05)
    yield place
    process.kill()
    process.wait()


@pytest.fixture
def asked(engine, settings):
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = engine, SECRET
    return lambda folder, question, **more: asyncio.run(
        client.search(str(folder), question, **{"count": 2, **more})
    )


def test_the_engine_finds_the_same(shop, index, asked):
    question = "When is the shop closed?"
    found = asked(shop.folder, question)
    assert [one["text"] for one in found] == [one.text for one in index.search(question, 2)]
    assert set(found[0]) == {"document", "name", "title", "page", "at", "text", "score", "why"}


def test_the_engine_gives_everything_when_asked(shop, asked):
    assert [one["document"] for one in asked(shop.folder, "", whole=True)] == [1, 2]


@pytest.mark.parametrize("outside", ["/etc", "index-1", "{root}/../", "{root}/index-99"])
def test_the_engine_reads_below_its_data_folder_only(shop, asked, outside):
    with pytest.raises(EngineUnavailable, match="data folder"):
        asked(outside.format(root=shop.root), "When?")


def test_a_folder_that_is_no_index_is_said_plainly(shop, asked):
    with pytest.raises(EngineUnavailable, match="changed meanwhile"):
        asked(shop.root / "documents", "When?")


def test_the_embedder_leaves_the_engine_when_nobody_asks(shop, asked):
    asked(shop.folder, "When is the shop closed?")
    full = asyncio.run(client.health())["memory_bytes"]
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if asyncio.run(client.health())["memory_bytes"] < full - 40_000_000:
            break
        time.sleep(0.3)
    else:
        raise AssertionError("it never became smaller")
    assert asked(shop.folder, "When is the shop closed?")
