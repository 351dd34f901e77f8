"""The text of /metrics: counters of all web processes, and the state of the installation."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from finetune_app.core import alive
from finetune_app.jobs.kinds import KINDS
from finetune_app.jobs.models import Job, State
from finetune_app.monitoring.engine_status import EngineStatus
from finetune_app.request_log import prometheus

PROCESSES = ("clock", "light", "heavy")  # each touches a file while it lives
GPU_FIELDS = ("index", "memory.used", "memory.total", "utilization.gpu")
MIB = 1024**2
GPU_TIMEOUT_SECONDS = 2.0


def exposition(engine: EngineStatus | None) -> bytes:
    """All metrics in Prometheus's text format. `engine` is None while it does not answer."""
    state = CollectorRegistry(auto_describe=False)
    for collector in (JobCollector(), MachineCollector(), EngineCollector(engine)):
        state.register(collector)
    return generate_latest(_counters()) + generate_latest(state)


def _counters() -> CollectorRegistry:
    """The counters of all web processes together, where there are several."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return prometheus.registry
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


class JobCollector(Collector):
    """Jobs by kind and state, and how long the queue is."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("finetune_jobs", "Jobs.", labels=["kind", "state"])
        length = GaugeMetricFamily("finetune_queue_length", "Waiting jobs.", labels=["lane"])
        age = GaugeMetricFamily(
            "finetune_queue_age_seconds", "Of the job that waits longest.", labels=["lane"]
        )
        with contextlib.suppress(DatabaseError):  # the other metrics do not need the database
            counted = Job.objects.order_by().values_list("kind", "state").annotate(n=Count("pk"))
            found = {(kind, state): n for kind, state, n in counted}
            for kind in KINDS:
                for state in State:
                    jobs.add_metric([kind, state.value], found.get((kind, state.value), 0))
            for lane in ("light", "heavy"):
                waiting = Job.objects.lane(lane == "heavy").waiting()
                totals = waiting.aggregate(n=Count("pk"), since=Min("queued_at"))
                since = totals["since"]
                length.add_metric([lane], totals["n"])
                age.add_metric([lane], (timezone.now() - since).total_seconds() if since else 0)
        yield from (jobs, length, age)


class MachineCollector(Collector):
    """The disk of DATA_DIR, processes that live, and graphics cards."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        disk = shutil.disk_usage(settings.DATA_DIR)
        yield _gauge("finetune_disk_free_bytes", "On the disk of DATA_DIR.", disk.free)
        yield _gauge("finetune_disk_bytes", "Of the disk of DATA_DIR.", disk.total)
        processes = GaugeMetricFamily(
            "finetune_processes_alive", "Those that share this data folder.", labels=["process"]
        )
        for name in PROCESSES:
            processes.add_metric([name], alive.count_alive(name))
        yield processes
        yield from _graphics_cards()


def _graphics_cards() -> Iterator[GaugeMetricFamily]:
    """Nothing without nvidia-smi."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    command = [tool, f"--query-gpu={','.join(GPU_FIELDS)}", "--format=csv,noheader,nounits"]
    used = GaugeMetricFamily("finetune_gpu_memory_used_bytes", "Memory in use.", labels=["gpu"])
    total = GaugeMetricFamily("finetune_gpu_memory_bytes", "All memory.", labels=["gpu"])
    busy = GaugeMetricFamily("finetune_gpu_busy_ratio", "Share of time in use.", labels=["gpu"])
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        text = subprocess.run(
            command, capture_output=True, text=True, timeout=GPU_TIMEOUT_SECONDS, check=True
        ).stdout
        for line in text.splitlines():
            gpu, *numbers = (part.strip() for part in line.split(","))
            for family, number, unit in zip(
                (used, total, busy), numbers, (MIB, MIB, 0.01), strict=True
            ):
                family.add_metric([gpu], float(number) * unit)
    yield from (used, total, busy)


class EngineCollector(Collector):
    """What the engine said a moment ago."""

    def __init__(self, engine: EngineStatus | None) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        engine = self._engine
        queue, limit, memory, loading = (
            (engine["queue"], engine["queue_limit"], engine["memory_bytes"], engine["loading"])
            if engine
            else (0, 0, 0, False)
        )
        yield _gauge("finetune_engine_up", "Whether the engine answers.", engine is not None)
        yield _gauge("finetune_engine_queue", "Requests that wait or are being answered.", queue)
        yield _gauge("finetune_engine_queue_limit", "Further ones are refused.", limit)
        yield _gauge("finetune_engine_memory_bytes", "Memory that the engine holds.", memory)
        yield _gauge("finetune_engine_loading", "Whether it loads a model.", loading)
