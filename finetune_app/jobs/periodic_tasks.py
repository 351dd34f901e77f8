"""Small regular work that is no job of anybody's: the clock does it between two looks at the jobs.

A chore is short (what it cannot finish within a second it leaves for its next turn), may be
repeated, and may run in several clocks at once. Rooms further down are named, never imported.
"""

import logging
import time
from importlib import import_module

log = logging.getLogger(__name__)

# function of a room: seconds from one turn to the next
CHORES = {
    "finetune_app.deployment.chores:add_up": 20.0,
    "finetune_app.deployment.chores:forget": 60.0,
    "finetune_app.deployment.chores:compare": 600.0,
    "finetune_app.alerts.periodic_tasks:look": 60.0,
    "finetune_app.alerts.periodic_tasks:send": 10.0,
    "finetune_app.alerts.periodic_tasks:run_due_rechecks": 600.0,
}


class TaskSchedule:
    """When each chore is due, by this process's own clock."""

    def __init__(self) -> None:
        self._next = dict.fromkeys(CHORES, 0.0)

    def run_due(self) -> None:
        """One chore's fault is written down and keeps nobody else waiting."""
        for name, every in CHORES.items():
            if time.monotonic() < self._next[name]:
                continue
            self._next[name] = time.monotonic() + every
            module, _colon, function = name.partition(":")
            try:
                getattr(import_module(module), function)()
            except Exception:
                log.exception("chore %s failed", name)
