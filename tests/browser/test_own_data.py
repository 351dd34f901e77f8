"""The same path with somebody else's data, 400 rows of it, whatever the honest verdict is.

The files are not part of the project: FINETUNE_DATA_DIR_SAMPLES says where they lie.
"""

import csv
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from django.conf import settings

from finetune_app.evaluation.verdict.types import Level
from tests.browser.person import Person

ROWS = 400
SAMPLES = Path(os.environ.get("FINETUNE_DATA_DIR_SAMPLES") or settings.BASE_DIR / "../shared/data")
LEVELS = set(get_args(Level))

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]


def requests_as_json(folder: Path) -> Path:
    """Chat examples, without the split they come with: the app makes its own."""
    lines = source("snips_json.jsonl").read_text().splitlines()
    rows = [json.loads(line)["messages"] for line in random.Random(17).sample(lines, ROWS)]
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    return path


def requests_as_bash(folder: Path) -> Path:
    with source("nl2bash.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    path = folder / "commands.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *random.Random(17).sample(rows, ROWS)])
    return path


def source(name: str) -> Path:
    if not (SAMPLES / name).exists():
        pytest.skip(f"{name} is not in {SAMPLES}; set FINETUNE_DATA_DIR_SAMPLES")
    return SAMPLES / name


GOALS = {
    "json": {
        "what": "Turn a spoken request into JSON with its intent and details.",
        "name": "Requests as JSON",
        "prompt": "add this tune to my Rock Gaming playlist",
        "answer": '{"intent": "AddToPlaylist", "music_item": "tune", "playlist_owner": "my", '
        '"playlist": "Rock Gaming"}',
        "measure": "Valid JSON",
    },
    "bash": {
        "what": "Turn a request in English into one bash command.",
        "name": "Bash commands",
        "prompt": "show the size of every folder here",
        "answer": "du -sh */",
        "measure": "A bash command",
    },
}


@pytest.mark.parametrize(
    ("goal", "make_file"), [("json", requests_as_json), ("bash", requests_as_bash)]
)
def test_from_a_file_to_an_honest_verdict(
    installation, new_context, tmp_path, goal: str, make_file: Callable[[Path], Path]
):
    mara = Person.arrives(new_context(), installation.address)
    level, _words = mara.walks_to_the_verdict(GOALS[goal], make_file(tmp_path))
    mara.photograph(f"own-data-{goal}")
    assert level in LEVELS
