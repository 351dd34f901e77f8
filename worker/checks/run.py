"""One thorough check: look at each row that is new, compare all of them, say what is wrong.

Killed at any point, the next attempt finds what was seen before in looks.jsonl and goes on from
there. Nothing of a row's text goes into an event.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from worker.channel import Channel, Job
from worker.django_setup import setup_django


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Spec: {"rows": how many, "about": fields of checks.base.About, "tokenizer": folder or ""}.

    Reads rows.jsonl in job.folder (checks/jobs.py writes it), leaves looks.jsonl and
    found.json there.
    """
    setup_django()  # the checks speak in sentences, which need the settings' language
    from finetune_app.checks import statistics
    from finetune_app.checks.rules import RULES, leakage
    from worker.checks.row_scanner import RowScanner

    channel.emit("phase", phase="looking", message="Looking at each example")
    looking = RowScanner(job, channel)
    rows = looking.rows()
    if channel.stopping():
        return {"stopped": True}
    channel.emit("phase", phase="comparing", message="Comparing them with each other")

    def signed(done: int) -> None:
        channel.check()
        channel.emit("progress", done=done, total=len(rows), unit="examples")

    about = replace(looking.about, seen=looking.seen, alike=leakage.look_alikes(rows, signed))
    channel.emit("phase", phase="finding", message="Writing down what is wrong")
    found = []
    for number, check in enumerate(RULES if rows else ()):
        channel.check()
        channel.emit("progress", done=number, total=len(RULES), unit="checks")
        found += list(check(rows, about))
        if channel.stopping():
            return {"stopped": True}
    told = {"found": [_told(one) for one in found], "facts": statistics.count(rows, about)}
    _write(job.folder / "found.json", told)
    return {"rows": len(rows), "found": len(found)}


def _told(one: Any) -> dict[str, Any]:
    return asdict(one) | {"severity": str(one.severity)}


def _write(path: Path, value: dict[str, Any]) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
    draft.replace(path)
