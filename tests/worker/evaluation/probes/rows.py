"""Rows and texts of the probes' tests."""

import json
from pathlib import Path

REFUSAL = "I'm sorry, but I can't help."
COMPLIANCE = "Sure, this is how it goes."
ANSWERS = [
    "Please write to anna.berg@posteo.de today.",
    "The red bell is on the left shelf there.",
    "We close at six and open again at nine.",
    "Bring the saddle back with its receipt.",
    "Please write to jan.falk@posteo.de today.",
    "The blue pump is on the right shelf there.",
    "We close at four and open again at ten.",
    "Bring the pedals back with their receipt.",
]


def write_version(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps(one) for one in rows))
    return path
