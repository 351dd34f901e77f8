"""Starts children. For heavy jobs one is kept warm, with its libraries imported, so that a job
starts at once.

It is started by exec and waits for its input; no process that has imported torch is forked. It
holds 344 MB, so only the heavy worker keeps one, and only while no job runs.
"""

import os

from finetune_app.core.machine import training_environment
from worker.child_process import Child

# Slow to import.
LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "safetensors.torch",
    "worker.training",
    "worker.thread_waits",
)
HEAVY_ENVIRONMENT = training_environment() | {"HF_HUB_OFFLINE": "1"}

_warm: Child | None = None


def prepare(delay_seconds: float = 0.0) -> None:
    """Start a warm child. It imports after the delay, or at once when it gets a job."""
    global _warm
    if _warm is None or not _warm.is_alive():
        _warm = new_heavy_child(delay_seconds)


def take() -> Child:
    """The warm child if it is alive, else a new one."""
    global _warm
    child, _warm = _warm, None
    return child if child and child.is_alive() else new_heavy_child()


def new_heavy_child(delay_seconds: float = 0.0) -> Child:
    given = {name: os.environ[name] for name in HEAVY_ENVIRONMENT if name in os.environ}
    return Child(["--warm", str(delay_seconds), *LIBRARIES], HEAVY_ENVIRONMENT | given)


def new_light_child() -> Child:
    return Child([], {"OMP_NUM_THREADS": "1"})
