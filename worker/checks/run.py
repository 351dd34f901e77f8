"""One thorough check: scan new rows, compare all of them, run the rules.

An attempt that follows a killed one continues with the scans in looks.jsonl. No event contains the
text of a row.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from worker.channel import Channel, Job
from worker.django_setup import setup_django


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Run the check of the rows in rows.jsonl, which checks/jobs.py has written to job.folder.

    The spec is {"rows": number of rows, "about": fields of a CheckContext, "tokenizer": folder or
    ""}. Writes looks.jsonl (the scans) and found.json (the results) to job.folder.
    """
    setup_django()  # messages are translated with the language of the settings
    from finetune_app.checks import statistics
    from finetune_app.checks.near_duplicate_search import find_near_duplicates
    from finetune_app.checks.rules import RULES
    from worker.checks.row_scanner import RowScanner

    channel.emit("phase", phase="looking", message="Looking at each example")
    scanner = RowScanner(job, channel)
    rows = scanner.rows()
    if channel.stopping():
        return {"stopped": True}
    channel.emit("phase", phase="comparing", message="Comparing them with each other")

    def signed(done: int) -> None:
        channel.check()
        channel.emit("progress", done=done, total=len(rows), unit="examples")

    context = replace(
        scanner.context,
        scans=scanner.scans,
        near_duplicates=find_near_duplicates(rows, signed),
    )
    channel.emit("phase", phase="finding", message="Writing down what is wrong")
    found = []
    for number, check in enumerate(RULES if rows else ()):
        channel.check()
        channel.emit("progress", done=number, total=len(RULES), unit="checks")
        found += list(check(rows, context))
        if channel.stopping():
            return {"stopped": True}
    results = {"found": [_as_json(one) for one in found], "facts": statistics.count(rows, context)}
    _write(job.folder / "found.json", results)
    return {"rows": len(rows), "found": len(found)}


def _as_json(result: Any) -> dict[str, Any]:
    return asdict(result) | {"severity": str(result.severity)}


def _write(path: Path, value: dict[str, Any]) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
    draft.replace(path)
