"""Compares live prompts with the prompts a model was trained on. No event contains a prompt.

Training prompts are redacted first, as live prompts were; otherwise “[email]” alone would tell the
two apart.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from finetune_app.monitoring.drift_limits import MAX_PROMPTS
from worker.channel import Channel, Job
from worker.django_setup import setup_django
from worker.drift.classifier import detect_drift
from worker.drift.similarity import least_similar


class DriftSpec(TypedDict):
    version: str  # path of the version's file
    splits: list[str]  # to compare with
    examples: int  # number of examples in these splits
    live: list[tuple[int, str]]  # (request id, prompt), from old to new
    max_characters: int  # of a prompt


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Returns fields of finetune_app.monitoring.models.DriftCheck; only counts if there are too few
    prompts."""
    spec: DriftSpec = job.spec  # type: ignore[assignment]
    channel.emit("phase", phase="reading", message="Reading what it learned from")
    training = list(_training_prompts(spec))
    if channel.stopping():
        return {"stopped": True}
    channel.emit("phase", phase="comparing", message="Comparing the prompts")
    requests = [request for request, _prompt in spec["live"]]
    live = [prompt for _request, prompt in spec["live"]]
    found = detect_drift(training, live)
    channel.check()
    counts = {"newest": max(requests, default=0), "learned": len(training), "live": len(live)}
    if found is None:
        return counts
    odd = [[requests[index], round(score, 4)] for index, score in least_similar(training, live)]
    return counts | found.to_json() | {"odd": odd}


def _training_prompts(spec: DriftSpec) -> Iterator[str]:
    """The last user message of each example, redacted; every n-th if there are more than
    MAX_PROMPTS."""
    setup_django()
    from finetune_app.datasets.text import last_content
    from finetune_app.request_log.redaction import redact

    step = max(1, -(-spec["examples"] // MAX_PROMPTS))
    index = 0
    with Path(spec["version"]).open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["split"] not in spec["splits"]:
                continue
            if index % step == 0:
                prompt = redact(last_content(row["messages"], "user")).text
                yield prompt[: spec["max_characters"]]
            index += 1
