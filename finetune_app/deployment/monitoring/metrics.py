"""Prometheus: counts of this process's requests, and the state of queues and jobs as it is asked.

A deployment's name is the only label that people choose; there are never more than MOST of them, so
that nobody can fill the memory of whoever gathers the numbers. No key, no text, no person.
"""

import contextlib
from collections.abc import Iterator

from django.db import DatabaseError
from django.db.models import Count
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from finetune_app.jobs.kinds import KINDS
from finetune_app.jobs.models import ACTIVE, Job, State

MOST = 200  # names of deployments; what comes later counts as “other”
NO_DEPLOYMENT = "-"  # base models asked directly, and what was refused before one was found
SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)

registry = CollectorRegistry()
REQUESTS = Counter(
    "finetune_requests",
    "Requests of the API, by how they ended.",
    ["deployment", "status"],
    registry=registry,
)
TOKENS = Counter(
    "finetune_tokens", "Tokens read and written.", ["deployment", "kind"], registry=registry
)
WAITED = Histogram(
    "finetune_request_seconds",
    "Until an answer was complete.",
    ["deployment"],
    buckets=SECONDS,
    registry=registry,
)
FIRST = Histogram(
    "finetune_first_word_seconds",
    "Until the first piece of an answer.",
    ["deployment"],
    buckets=SECONDS,
    registry=registry,
)
THUMBS = Counter(
    "finetune_feedback", "Opinions given.", ["deployment", "rating"], registry=registry
)
QUEUE = Gauge(
    "finetune_engine_queue", "Requests that wait or are being answered.", registry=registry
)
MEMORY = Gauge("finetune_engine_memory_bytes", "Memory that the engine holds.", registry=registry)
UP = Gauge("finetune_engine_up", "Whether the engine answers.", registry=registry)

_names: set[str] = set()


def named(deployment: str | None) -> str:
    """The label: as the deployment is called, while there are few."""
    if not deployment:
        return NO_DEPLOYMENT
    if deployment not in _names and len(_names) >= MOST:
        return "other"
    _names.add(deployment)
    return deployment


def note(
    *,
    deployment: str | None,
    status: int,
    seconds: float,
    first_seconds: float | None,
    prompt_tokens: int,
    tokens: int,
) -> None:
    """Count a request that is over."""
    name = named(deployment)
    REQUESTS.labels(name, str(status)).inc()
    TOKENS.labels(name, "read").inc(prompt_tokens)
    TOKENS.labels(name, "written").inc(tokens)
    if status < 400:
        WAITED.labels(name).observe(seconds)
        if first_seconds is not None:
            FIRST.labels(name).observe(first_seconds)


class Jobs(Collector):
    """How many jobs of each kind are in each state that is not over, when somebody looks."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("finetune_jobs", "Jobs under way.", labels=["kind", "state"])
        with contextlib.suppress(DatabaseError):  # the rest is worth having without it
            counted = Job.objects.filter(state__in=ACTIVE).order_by().values_list("kind", "state")
            found = {(kind, state): n for kind, state, n in counted.annotate(n=Count("pk"))}
            for kind in KINDS:
                for state in (State.QUEUED, State.RUNNING):
                    family.add_metric([kind, state.value], found.get((kind, state.value), 0))
        yield family


registry.register(Jobs())


def text(engine: "dict[str, object] | None") -> bytes:
    """Everything, in Prometheus's format. engine: what it says of itself, None while it is away."""
    UP.set(engine is not None)
    QUEUE.set(float(str(engine["queue"])) if engine else 0)
    MEMORY.set(float(str(engine["memory_bytes"])) if engine else 0)
    return generate_latest(registry)
