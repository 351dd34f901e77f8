"""Torch starts a thread pool for each thread that computes, and several pools slow each other down.
So the engine process computes on one thread, or on others that end with their work."""

import threading
import time
import weakref

import pytest

from tests.worker.engine.generation_requests import ask, take_decoder
from worker.engine import engine as engine_module
from worker.engine.chunked_decoder import ChunkedDecoder
from worker.engine.compute_thread import ComputeThread
from worker.engine.engine import Engine
from worker.engine.model_loader import BadModel
from worker.engine.requests import EngineFailed
from worker.knowledge.embedding import Embedder


def test_all_models_of_a_process_compute_on_one_thread(base, monkeypatch):
    """They are loaded on others, which end."""
    loading, computing = [], []
    load, step = engine_module.load, ChunkedDecoder.step
    monkeypatch.setattr(
        engine_module,
        "load",
        lambda *args: loading.append(threading.current_thread()) or load(*args),
    )
    monkeypatch.setattr(
        ChunkedDecoder,
        "step",
        lambda self: computing.append(threading.current_thread()) or step(self),
    )
    compute = ComputeThread()
    with Engine(base, "fp32", compute=compute) as one, Engine(base, "fp32", compute=compute) as two:
        for engine in (one, two):
            engine.generate([ask(max_new_tokens=4)])
    assert (len(loading), len(computing)) == (2, 8)
    assert len(set(computing)) == 1
    assert not any(thread.is_alive() for thread in {*loading, *computing})
    assert threading.current_thread() not in {*loading, *computing}


def test_models_take_turns(base):
    """A short answer of one is there long before a long one of the other has ended."""
    compute = ComputeThread()
    with Engine(base, "fp32", compute=compute) as one, Engine(base, "fp32", compute=compute) as two:
        long = one.submit(ask(max_new_tokens=2000))
        next(iter(long))
        assert two.generate([ask(max_new_tokens=4)])[0].tokens
        assert not long.cancelled
        assert next(iter(long)), "it goes on"
        long.cancel()


def test_a_model_that_is_closed_leaves_the_others_their_thread(base):
    compute = ComputeThread()
    with Engine(base, "fp32", compute=compute) as stays:
        gone = Engine(base, "fp32", compute=compute)
        unfinished = gone.submit(ask(max_new_tokens=2000))
        next(iter(unfinished))
        gone.close()
        with pytest.raises(EngineFailed, match="closed"):
            unfinished.result()
        with pytest.raises(EngineFailed, match="closed"):
            gone.submit(ask())
        assert stays.generate([ask(max_new_tokens=4)])[0].tokens
    with Engine(base, "fp32", compute=compute) as later:
        assert later.generate([ask(max_new_tokens=4)])[0].tokens, "it begins again"


def test_one_that_breaks_down_leaves_the_others_their_turns(base, monkeypatch):
    compute = ComputeThread()
    with Engine(base, "fp32", compute=compute) as one, Engine(base, "fp32", compute=compute) as two:
        with monkeypatch.context() as broken:
            broken.setattr(one, "_admit", lambda: 1 / 0)
            with pytest.raises(EngineFailed, match="broke down"):
                one.submit(ask()).result()
        assert two.generate([ask(max_new_tokens=4)])[0].tokens
        assert one.generate([ask(max_new_tokens=4)])[0].tokens


class Computing:
    """Takes `turns`; each does what `turn` does."""

    may_gather = False

    def __init__(self, turn, turns: int = 1) -> None:
        self.turn, self.left = turn, turns

    @property
    def has_work(self) -> bool:
        return self.left > 0

    def take_turn(self) -> None:
        self.left -= 1
        self.turn()


def test_the_thread_survives_whatever_breaks_down(base):
    compute = ComputeThread()
    breaks = Computing(lambda: 1 / 0, turns=3)
    compute.add(breaks)
    with Engine(base, "fp32", compute=compute) as engine:
        assert engine.generate([ask(max_new_tokens=4)])[0].tokens
        compute.remove(breaks)
    assert breaks.left == 0


def test_a_model_that_was_removed_is_not_kept_in_memory():
    """Though the thread waits for the others."""
    compute, turns = ComputeThread(), threading.Semaphore(0)
    stays, goes = Computing(turns.release), Computing(turns.release)
    compute.add(stays)
    compute.add(goes)
    assert turns.acquire(timeout=20)
    assert turns.acquire(timeout=20)
    compute.remove(goes)
    gone = weakref.ref(goes)
    del goes
    for _wait in range(200):
        if gone() is None:
            break
        time.sleep(0.01)
    assert gone() is None
    compute.remove(stays)


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


@pytest.mark.parametrize("several", [False, True])
def test_an_idle_engine_waits_only_for_others_of_the_same_call(base, several):
    with Engine(base, "fp32") as engine:
        take_decoder(engine)
        engine.submit(ask(is_one_of_several=several))
        assert engine.may_gather is several
        engine.submit(ask(is_one_of_several=several))
        assert not engine.may_gather
