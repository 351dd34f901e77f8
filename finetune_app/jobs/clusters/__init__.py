"""Trainings and tests run on a cluster that somebody has already (docs/decisions/0083)."""

from django.conf import settings

from finetune_app.jobs.clusters.base import Cluster
from finetune_app.jobs.clusters.kubernetes import Kubernetes
from finetune_app.jobs.clusters.slurm import Slurm

CLUSTERS: dict[str, type[Cluster]] = {"slurm": Slurm, "kubernetes": Kubernetes}


def find_cluster() -> Cluster | None:
    """The cluster that CLUSTER names; None if our own workers run all jobs. Raises
    ImproperlyConfigured with a sentence when it cannot be used from this machine."""
    return CLUSTERS[settings.CLUSTER]() if settings.CLUSTER else None
