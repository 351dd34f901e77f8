"""The results of a training as the worker on the hub leaves them, without a training."""

import hashlib
import json
from typing import Any

from finetune_app.hub_training.models import HubTraining
from tests.hub.repositories import LARGE_SUFFIXES, Blob
from tests.hub.stub_hub import StubHub

ADAPTER = {
    "adapter/adapter_model.safetensors": b"what it learned",
    "adapter/adapter_config.json": b'{"r": 8}',
    "steps/000002/adapter_model.safetensors": b"what it knew before",
}
RESULT = {"adapter": "adapter", "steps": 3, "stopped": False, "best_step": 3, "seconds": 1.5}
EVENTS = [
    {"event": "point", "step": 1, "epoch": 0.5, "loss": 2.0, "validation_loss": 2.1},
    {"event": "sample", "step": 1, "index": 0, "prompt": "p", "wanted": "w", "answer": "a"},
    {"event": "progress", "done": 3, "total": 3},
]


def leave_results(
    hub: StubHub,
    training: HubTraining,
    files: dict[str, bytes] | None = None,
    *,
    result: Any = None,
    events: list[Any] | None = None,
    listed: dict[str, str] | None = None,
) -> None:
    """listed: the hashes that result.json tells; else those of the files."""
    there = hub.repositories["model", training.result_repository]
    given = ADAPTER if files is None else files
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in given.items()}
    told = {"result": RESULT if result is None else result, "files": listed or hashes}
    lines = "\n".join(json.dumps(one) for one in (EVENTS if events is None else events))
    every = {**given, "result.json": json.dumps(told).encode(), "events.jsonl": lines.encode()}
    blobs = {name: Blob(body, name.endswith(LARGE_SUFFIXES)) for name, body in every.items()}
    there.commit(there.files | blobs)
