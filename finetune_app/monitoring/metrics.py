"""The text of /metrics: counters of this process, and the state of the engine and of jobs."""

import contextlib
from collections.abc import Iterator

from django.db import DatabaseError
from django.db.models import Count
from prometheus_client import Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from finetune_app.jobs.kinds import KINDS
from finetune_app.jobs.models import ACTIVE, Job, State
from finetune_app.monitoring.engine_status import EngineStatus
from finetune_app.request_log.prometheus import registry

QUEUE = Gauge(
    "finetune_engine_queue", "Requests that wait or are being answered.", registry=registry
)
MEMORY = Gauge("finetune_engine_memory_bytes", "Memory that the engine holds.", registry=registry)
UP = Gauge("finetune_engine_up", "Whether the engine answers.", registry=registry)


class JobCollector(Collector):
    """Counts jobs by kind and state when Prometheus asks."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("finetune_jobs", "Jobs under way.", labels=["kind", "state"])
        with contextlib.suppress(DatabaseError):  # the other metrics do not need the database
            counted = Job.objects.filter(state__in=ACTIVE).order_by().values_list("kind", "state")
            found = {(kind, state): n for kind, state, n in counted.annotate(n=Count("pk"))}
            for kind in KINDS:
                for state in (State.QUEUED, State.RUNNING):
                    family.add_metric([kind, state.value], found.get((kind, state.value), 0))
        yield family


registry.register(JobCollector())


def exposition(engine: EngineStatus | None) -> bytes:
    """All metrics in Prometheus's text format. `engine` is None while it does not answer."""
    UP.set(engine is not None)
    QUEUE.set(float(engine["queue"]) if engine else 0)
    MEMORY.set(float(engine["memory_bytes"]) if engine else 0)
    return generate_latest(registry)
