"""What Finetune asks of a cluster. Each way to one is a module beside this."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Unavailable(Exception):
    """The cluster does not answer; whether it has done what it was asked to is not known."""


class Refused(Exception):
    """The cluster does not take a job. The message is its reason."""


@dataclass(frozen=True)
class ClusterState:
    """How a cluster sees one of its jobs."""

    cluster_id: str
    reason: str = ""
    """Why it waits or has ended, in the cluster's words."""
    has_ended: bool = False


class Cluster(Protocol):
    """Jobs are known by names that Finetune gives them. Each method raises Unavailable."""

    title: str

    def submit(self, name: str, arguments: Sequence[str]) -> str:
        """Start `python -m worker.run_job` with these arguments there, once, when there is room.
        Returns its id there. Raises Refused."""

    def states(self, names: Sequence[str]) -> dict[str, ClusterState]:
        """Of those of the named jobs that the cluster knows."""

    def cancel(self, name: str) -> None:
        """End a job; nothing happens where the cluster does not know it."""
