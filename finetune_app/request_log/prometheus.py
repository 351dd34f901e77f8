"""Prometheus counters of requests; web_server.py adds up those of all web processes.

The only label that people choose is a deployment's name. There are at most MAX_NAMES of them, so
that nobody can fill the memory of the Prometheus server. No label names a key, a text or a person.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

MAX_NAMES = 200  # names of deployments; later ones count as "other"
NO_DEPLOYMENT = "-"  # base models called directly, and requests refused before one was found
BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)

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
LATENCY = Histogram(
    "finetune_request_seconds",
    "Until an answer was complete.",
    ["deployment"],
    buckets=BUCKETS_SECONDS,
    registry=registry,
)
FIRST_TOKEN = Histogram(
    "finetune_first_word_seconds",
    "Until the first piece of an answer.",
    ["deployment"],
    buckets=BUCKETS_SECONDS,
    registry=registry,
)
FEEDBACK = Counter(
    "finetune_feedback", "Opinions given.", ["deployment", "rating"], registry=registry
)

_names: set[str] = set()


def label_of(deployment_name: str | None) -> str:
    """The label of a deployment: its name, or "other" once there are MAX_NAMES of them."""
    if not deployment_name:
        return NO_DEPLOYMENT
    if deployment_name not in _names and len(_names) >= MAX_NAMES:
        return "other"
    _names.add(deployment_name)
    return deployment_name


def count_request(
    *,
    deployment_name: str | None,
    status: int,
    seconds: float,
    first_seconds: float | None,
    prompt_tokens: int,
    tokens: int,
) -> None:
    """Count a request that has ended."""
    label = label_of(deployment_name)
    REQUESTS.labels(label, str(status)).inc()
    TOKENS.labels(label, "read").inc(prompt_tokens)
    TOKENS.labels(label, "written").inc(tokens)
    if status < 400:
        LATENCY.labels(label).observe(seconds)
        if first_seconds is not None:
            FIRST_TOKEN.labels(label).observe(first_seconds)


def count_feedback(*, deployment_name: str | None, is_up: bool) -> None:
    FEEDBACK.labels(label_of(deployment_name), "up" if is_up else "down").inc()
