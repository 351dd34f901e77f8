"""Torch starts a thread pool for each thread that computes, and several pools slow each other down.
So the engine process computes on the engine's thread, or on one that ends with its work."""

import threading

import pytest

from tests.worker.engine.generation_requests import ask
from worker.engine import engine as engine_module
from worker.engine.chunked_decoder import ChunkedDecoder
from worker.engine.engine import Engine
from worker.engine.model_loader import BadModel
from worker.knowledge.embedding import Embedder


def test_the_model_is_loaded_and_run_on_the_engines_thread(base, monkeypatch):
    seen = []
    load, step = engine_module.load, ChunkedDecoder.step
    monkeypatch.setattr(
        engine_module, "load", lambda *args: seen.append(threading.current_thread()) or load(*args)
    )
    monkeypatch.setattr(
        ChunkedDecoder, "step", lambda self: seen.append(threading.current_thread()) or step(self)
    )
    with Engine(base, "fp32") as engine:
        engine.generate([ask(max_new_tokens=4)])
    assert len(seen) == 5
    assert len(set(seen)) == 1
    assert threading.current_thread() not in seen


def test_a_failed_load_leaves_no_thread(tmp_path):
    before = threading.active_count()
    with pytest.raises(BadModel, match=r"config\.json is missing"):
        Engine(tmp_path, "fp32")
    assert threading.active_count() == before


def test_embeddings_are_computed_on_a_thread_that_ends(monkeypatch):
    seen, batch = [], Embedder._embed_batch
    monkeypatch.setattr(
        Embedder,
        "_embed_batch",
        lambda self, texts: seen.append(threading.current_thread()) or batch(self, texts),
    )
    Embedder().embed_passages(["one", "two"])
    assert len(seen) == 1
    assert not seen[0].is_alive()
    assert seen[0] is not threading.current_thread()
