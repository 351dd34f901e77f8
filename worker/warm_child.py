"""One child kept ready, with the heavy libraries imported, so that a click starts at once.

It is started by exec and waits on its input; nothing is ever forked from a process that has
imported torch. It costs 344 MB, so only the heavy worker keeps one, and only while no job runs.
"""

import os

from finetune_app.core.machine import heavy_environment
from worker.child_process import Child

_warm: Child | None = None

HEAVY_ENVIRONMENT = heavy_environment() | {"HF_HUB_OFFLINE": "1"}


def prepare(delay: float = 0.0) -> None:
    """Have a spare; it begins to import after `delay` seconds, or at once when it gets a job."""
    global _warm
    if _warm is None or not _warm.is_alive():
        _warm = new_heavy_child({"FINETUNE_SPARE_DELAY": str(delay)})


def take() -> Child:
    """The spare if it lives, else a new child."""
    global _warm
    child, _warm = _warm, None
    return child if child and child.is_alive() else new_heavy_child()


def new_heavy_child(extra: dict[str, str] | None = None) -> Child:
    given = {name: os.environ[name] for name in HEAVY_ENVIRONMENT if name in os.environ}
    return Child(warm=True, environment=HEAVY_ENVIRONMENT | given | (extra or {}))


def new_light_child() -> Child:
    return Child(warm=False, environment={"OMP_NUM_THREADS": "1"})
