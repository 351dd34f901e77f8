"""Two base models that are asked for at the same time are read one after the other."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.worker.engine.tiny_models import make_base
from worker.engine.model_loader import load


def test_two_at_once_leave_transformers_as_it_was(tmp_path, monkeypatch):
    """While it reads a model, transformers replaces its own functions for all threads: read side by
    side, two left every later model with embeddings that are not tied."""
    folders = [make_base(tmp_path / name, "llama") for name in ("a", "b")]
    before = PreTrainedModel.tie_weights
    real, now, most = AutoModelForCausalLM.from_pretrained, [0], [0]
    counting = threading.Lock()

    def slow(*args, **options):
        with counting:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.2)
        try:
            return real(*args, **options)
        finally:
            with counting:
                now[0] -= 1

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", slow)
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(lambda folder: load(folder, "fp32"), folders))
    assert most == [1]
    assert PreTrainedModel.tie_weights is before
    assert [one.folder for one in loaded] == folders
