"""A cluster in memory, of which a test says what happens there."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from finetune_app.jobs import services
from finetune_app.jobs.clusters.base import ClusterState, Refused, Unavailable
from finetune_app.jobs.models import Job
from tests.worker.counting.handlers import registered


class MemoryCluster:
    title = "Slurm"

    def __init__(self) -> None:
        self.known: dict[str, ClusterState] = {}
        self.submitted: list[tuple[str, list[str]]] = []
        self.cancelled: list[str] = []
        self.refuses = ""
        self.is_away = False
        self.loses_answers = False

    def submit(self, name: str, arguments: Sequence[str]) -> str:
        self._answer()
        if self.refuses:
            raise Refused(self.refuses)
        self.submitted.append((name, list(arguments)))
        self.known[name] = ClusterState(str(len(self.submitted)), "Resources")
        if self.loses_answers:
            raise Unavailable("Socket timed out")
        return self.known[name].cluster_id

    def states(self, names: Sequence[str]) -> dict[str, ClusterState]:
        self._answer()
        return {name: state for name, state in self.known.items() if name in names}

    def cancel(self, name: str) -> None:
        self._answer()
        self.cancelled.append(name)
        self.end(name, "CANCELLED")

    def end(self, name: str, reason: str) -> None:
        self.known[name] = ClusterState(self.known[name].cluster_id, reason, has_ended=True)

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("Unable to contact slurm controller")


@pytest.fixture
def cluster(settings) -> MemoryCluster:
    settings.CLUSTER = "slurm"
    return MemoryCluster()


@pytest.fixture
def new_job(transactional_db, team) -> Any:
    """Creates jobs that count to four."""

    def make(**given: Any) -> Job:
        spec = {"steps": 4, "pause": 0.02}
        return services.create(
            **{"team": team, "kind": "count-heavy", "title": "", "spec": spec, **given}
        )

    with registered():
        made: Callable[..., Job] = make
        yield made
