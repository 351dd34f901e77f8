"""Where a cluster runs the heavy jobs, no worker of our own does."""

import pytest

from worker import tasks


@pytest.fixture(autouse=True)
def _nothing_is_held(monkeypatch):
    monkeypatch.setattr(tasks.in_use, "hold", lambda *_args: None)
    monkeypatch.setattr(tasks, "require_shared_secrets", lambda: None)
    monkeypatch.setattr(tasks.alive, "touch_in_background", lambda _name: None)


@pytest.mark.parametrize(("cluster", "lane"), [("", "heavy"), ("slurm", "light")])
def test_other_workers_start(settings, monkeypatch, cluster, lane):
    settings.CLUSTER = cluster
    monkeypatch.setenv("FINETUNE_LANE", lane)
    tasks.on_worker_init()


def test_a_heavy_worker_beside_a_cluster_does_not_start(settings, monkeypatch):
    settings.CLUSTER = "slurm"
    monkeypatch.setenv("FINETUNE_LANE", "heavy")
    with pytest.raises(SystemExit, match="CLUSTER is slurm, which runs the heavy jobs"):
        tasks.on_worker_init()
