"""One child kept ready, with the heavy libraries imported, so that a click starts at once.

It is started by exec and waits on its input; nothing is ever forked from a process that has
imported torch. It costs 344 MB, so only the heavy worker keeps one, and only while no job runs.
"""

import os

from finetune_app.core.machine import heavy_environment
from worker.process import Child

_spare: Child | None = None

HEAVY_ENVIRONMENT = heavy_environment() | {"HF_HUB_OFFLINE": "1"}


def keep(delay: float = 0.0) -> None:
    """Have a spare; it begins to import after `delay` seconds, or at once when it gets a job."""
    global _spare
    if _spare is None or not _spare.is_alive():
        _spare = heavy_child({"FINETUNE_SPARE_DELAY": str(delay)})


def take() -> Child:
    """The spare if it lives, else a new child."""
    global _spare
    child, _spare = _spare, None
    return child if child and child.is_alive() else heavy_child()


def heavy_child(extra: dict[str, str] | None = None) -> Child:
    given = {name: os.environ[name] for name in HEAVY_ENVIRONMENT if name in os.environ}
    return Child(warm=True, environment=HEAVY_ENVIRONMENT | given | (extra or {}))


def light_child() -> Child:
    return Child(warm=False, environment={"OMP_NUM_THREADS": "1"})
