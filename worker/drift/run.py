"""One comparison of live prompts with those it learned from. No event has a word of a prompt.

What it learned from is redacted first as live prompts were: else a classifier would tell the two
apart by “[email]” alone, and call that drift.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker.channel import Channel, Job
from worker.django_setup import setup_django
from worker.drift.classifier import MOST, drift
from worker.drift.similarity import least_alike


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Spec: {"version": path of its file, "splits": what it learned from, "examples": how many of
    these, "live": [[request, prompt], ...] from old to new, "longest": characters of a prompt}."""
    spec = job.spec
    channel.emit("phase", phase="reading", message="Reading what it learned from")
    learned = list(_learned(Path(spec["version"]), spec))
    if channel.stopping():
        return {"stopped": True}
    channel.emit("phase", phase="comparing", message="Comparing the prompts")
    requests, live = [one[0] for one in spec["live"]], [one[1] for one in spec["live"]]
    found = drift(learned, live)
    channel.check()
    told = {"newest": max(requests, default=0), "learned": len(learned), "live": len(live)}
    if found is None:
        return told
    odd = [[requests[at], round(like, 4)] for at, like in least_alike(learned, live)]
    return told | found.to_json() | {"odd": odd}


def _learned(path: Path, spec: dict[str, Any]) -> Iterator[str]:
    """The last question of each example, evenly thinned to MOST."""
    setup_django()
    from finetune_app.datasets.text import last_said
    from finetune_app.deployment.monitoring.redaction import redact

    every = max(1, -(-spec["examples"] // MOST))
    place = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["split"] not in spec["splits"]:
                continue
            if place % every == 0:
                yield redact(last_said(row["messages"], "user")).text[: spec["longest"]]
            place += 1
