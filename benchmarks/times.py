"""How long does a training take, and how long did it seem that it would?

    python -m benchmarks.times MODEL_FOLDER --log FILE [--only N ...]

Ten real trainings of the starter on rows of different number and length, on one thread, each in a
fresh process. Before each, the time is predicted from the runs before it, as the pages do
(finetune_app/basemodels/time_plan.py); the first one is a guess. What a run takes is its processor
time, which other work on the machine hardly changes. The rows are not part of the project:
FINETUNE_DATA_DIR_SAMPLES says where they lie.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune_app.basemodels.automatic_settings import automatic_settings
from finetune_app.basemodels.catalogue import STARTER, entry_of

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = Path(os.environ.get("FINETUNE_DATA_DIR_SAMPLES", ROOT.parent / "shared" / "data"))
VALIDATION_SHARE, DRAWN_BY = 0.15, 17


@dataclass(frozen=True)
class TimedRun:
    """One training. rows: for training and practice together."""

    data: str
    rows: int
    epochs: int


RUNS = [
    TimedRun("commands", 60, 1),
    TimedRun("requests", 60, 1),
    TimedRun("commands", 120, 1),
    TimedRun("texts", 40, 1),
    TimedRun("commands", 60, 2),
    TimedRun("requests", 100, 1),
    TimedRun("texts", 60, 1),
    TimedRun("commands", 200, 1),
    TimedRun("requests", 60, 2),
    TimedRun("commands", 60, 4),
]


def conversations(data: str) -> list[list[dict[str, str]]]:
    """commands: English to bash. requests: to JSON. texts: instructions and longer answers."""
    if data == "requests":
        lines = (SAMPLES / "snips_json.jsonl").read_text().splitlines()
        return [json.loads(line)["messages"] for line in lines]
    if data == "commands":
        with (SAMPLES / "nl2bash.csv").open(newline="") as file:
            pairs = [(row["request"], row["command"]) for row in csv.DictReader(file)]
    else:
        tasks = json.loads((SAMPLES / "seed_tasks_alpaca.json").read_text())
        pairs = [
            (f"{task['instruction']}\n{task.get('input', '')}".strip(), task["output"])
            for task in tasks
        ]
    return [
        [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        for asked, answer in pairs
    ]


class PhaseChannel:
    """Notes the processor time at which the first step begins."""

    first_step = 0.0

    def emit(self, event: str, **fields: Any) -> None:
        if event == "phase" and fields.get("phase") == "training":
            self.first_step = time.process_time()

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        """There is no lease."""


def child(given: TimedRun, model: Path) -> dict[str, Any]:
    """Train; seconds of processor time, and what the time is predicted from."""
    import torch

    from worker.channel import Job
    from worker.training import loop

    torch.set_num_threads(1)
    found = random.Random(DRAWN_BY).sample(conversations(given.data), given.rows)
    practice = int(given.rows * VALIDATION_SHARE)
    updates = [0.0]
    update = loop.update

    def timed(*args: Any) -> Any:
        start = time.process_time()
        try:
            return update(*args)
        finally:
            updates[0] += time.process_time() - start

    loop.update = timed
    with tempfile.TemporaryDirectory(prefix="finetune-times-") as scratch:
        folder = Path(scratch)
        version = folder / "version.jsonl"
        with version.open("w") as file:
            for number, messages in enumerate(found):
                split = "validation" if number < practice else "train"
                row = {"id": number, "split": split, "messages": messages}
                file.write(json.dumps(row) + "\n")
        train = len(found) - practice
        longest = max(sum(len(one["content"]) for one in row) for row in found)
        settings = automatic_settings(train, longest // 2 + 40, hidden=576).settings | {
            "epochs": given.epochs,
            "number_format": "auto",
            "base_model": str(model),
            "version": str(version),
            "measure": {"kind": "exact", "settings": {}},
        }
        channel = PhaseChannel()
        begun, wall = time.process_time(), time.monotonic()
        result = loop.run(Job("training", folder / "run", settings), channel)
    return {
        "messages": found,
        "practice": practice,
        "settings": {name: value for name, value in settings.items() if name != "version"},
        "result": result,
        "loading": channel.first_step - begun,
        "updates": updates[0],
        "seconds": time.process_time() - begun,
        "wall": time.monotonic() - wall,
    }


# --- predicted beside actual ------------------------------------------------------------------


def table(runs: list[dict[str, Any]]) -> str:
    """Each run is predicted from those above it. Seconds of processor time."""
    heads = ("rows", "passes", "tokens a row", "steps", "predicted", "took", "off by", "within")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    speeds: list[Any] = []
    for run in runs:
        expected, work = predict(run, speeds)
        took = run["seconds"]
        rows = run["rows"] - run["practice"]
        inside = "yes" if expected.low <= took <= expected.high else "no"
        if run["result"]["ended_early"]:
            inside += ", ended early"
        lines.append(
            f"| {rows} {run['data']} | {run['epochs']} | {work.tokens // rows} "
            f"| {run['result']['steps']} | {expected.seconds:.0f} ({expected.low:.0f} to "
            f"{expected.high:.0f}) | {took:.0f} | {expected.seconds / took - 1:+.0%} | {inside} |"
        )
        speeds.insert(0, measured_speed(run))
    return "\n".join(lines)


def predict(run: dict[str, Any], speeds: list[Any]) -> tuple[Any, Any]:
    """As on the launch page: from what is known of the rows before they are tokenized."""
    from finetune_app.basemodels.estimates import work_of
    from finetune_app.basemodels.models import BaseModel
    from finetune_app.basemodels.time_plan import MeasuredSpeeds, expected_time
    from finetune_app.versions.models import Version
    from finetune_app.versions.services import weight

    practice, rows = run["practice"], run["messages"]
    lengths = [sum(weight(one["content"]) for one in row) for row in rows]
    version = Version(
        counts={"train": len(rows) - practice, "validation": practice},
        characters=sum(lengths[practice:]),
        answer_characters=sum(weight(row[-1]["content"]) for row in rows[practice:]),
        longest=max(lengths),
        longest_rows=sorted(lengths[practice:], reverse=True)[:32],
        longest_answer=max(weight(row[-1]["content"]) for row in rows),
    )
    entry = entry_of(STARTER)
    assert entry is not None
    work = work_of(version, settings=run["settings"])
    known = MeasuredSpeeds("this processor", on_card=False, speeds=speeds)
    model = BaseModel(pk=1, slug=STARTER)
    return expected_time(entry.shape, work, known.expected(entry.shape, work, model)), work


def measured_speed(run: dict[str, Any]) -> Any:
    from finetune_app.basemodels.models import Speed

    result = run["result"]
    return Speed(
        base_model_id=1,
        what="training",
        tokens_per_second=result["work"] / run["updates"],
        tokens_per_step=result["work"] / result["steps"],
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model", type=Path, help="the starter model's folder")
    options.add_argument("--log", type=Path, required=True, help="runs so far, which are kept")
    options.add_argument("--child", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        print(json.dumps(child(TimedRun(**json.loads(given.child)), given.model.resolve())))
        return
    done = given.log.read_text().splitlines() if given.log.exists() else []
    for run in RUNS[len(done) :]:
        command = [sys.executable, "-m", "benchmarks.times", str(given.model), "--log", "-"]
        finished = subprocess.run(
            [*command, "--child", json.dumps(asdict(run))], cwd=ROOT, stdout=subprocess.PIPE
        )
        if finished.returncode:
            raise SystemExit(f"{run} failed")
        with given.log.open("a") as file:
            line = json.loads(finished.stdout.decode().strip().splitlines()[-1])
            file.write(json.dumps(asdict(run) | line) + "\n")
    from worker.django_setup import setup_django

    setup_django()
    print(table([json.loads(line) for line in given.log.read_text().splitlines()]))


if __name__ == "__main__":
    main()
