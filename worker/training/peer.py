"""Another process of a data-parallel training: it does its share of every update, and no more.

    python -m worker.training.peer PARENT_PID < {"folder", "spec"}

See data_parallel.py.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from finetune_app.core import parent_death
from worker.thread_waits import follow_load
from worker.training.data_parallel import DistributedRanks
from worker.training.loop import update
from worker.training.prepare import prepare
from worker.training.spec import TrainingSpec


class SilentChannel:
    """Only rank 0 reports; it ends its peers with itself."""

    def emit(self, event: str, **fields: Any) -> None:
        """Rank 0 says it, too."""

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        """Rank 0 holds the lease."""


def main() -> None:
    parent_death.die_with_parent(int(sys.argv[1]))
    follow_load()
    order = json.load(sys.stdin)
    ranks = DistributedRanks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    spec = TrainingSpec.from_json(order["spec"])
    training, state = prepare(spec, Path(order["folder"]), SilentChannel(), ranks)
    while ranks.go_on():
        update(training, state)
        state.step += 1
    ranks.close()


if __name__ == "__main__":
    main()
