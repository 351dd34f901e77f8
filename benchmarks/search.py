"""Does a search for settings find better ones, and what does it cost?

    python -m benchmarks.search MODEL_FOLDER [--goal NAME] [--rows N] [--practice N] [--epochs N]

Runs one real search on the training and practice rows of a goal of benchmarks/learning.py, then two
whole trainings, with the automatic settings and with those it found, and has the sealed test
prompts answered by both. Prints the trials and the two results.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.learning import GOALS, HIDDEN, MAX_NEW_TOKENS, RecordingChannel, answered
from finetune_app.basemodels.automatic_settings import automatic_settings
from finetune_app.hyperparameter_search.trials import trials_around
from worker.channel import Job
from worker.engine.engine import Engine
from worker.hyperparameter_search.run import run as search
from worker.template import load_tokenizer, tokenize_example
from worker.training.loop import run as train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--goal", default="sample", choices=GOALS)
    parser.add_argument("--rows", type=int, default=0, help="to learn from; 0: all")
    parser.add_argument("--practice", type=int, default=0, help="practice prompts; 0: all")
    parser.add_argument("--epochs", type=int, default=0, help="0: automatic")
    parser.add_argument("--folder", type=Path, help="kept, so that a search can go on there")
    arguments = parser.parse_args()
    rows, measure = GOALS[arguments.goal]()
    learned = [row for row in rows if row["split"] == "train"][: arguments.rows or None]
    others = [row for row in rows if row["split"] != "train"]
    tokenizer = load_tokenizer(arguments.model)
    longest = max(len(tokenize_example(tokenizer, row["messages"], 4096).input_ids) for row in rows)
    settings = automatic_settings(len(learned), longest, HIDDEN).settings
    if arguments.epochs:
        settings["epochs"] = arguments.epochs
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        version = folder / "rows.jsonl"
        practice = [row for row in others if row["split"] == "validation"]
        practice = practice[: arguments.practice or None]
        version.write_text(
            "".join(json.dumps({"id": n} | row) + "\n" for n, row in enumerate(learned + practice))
        )
        spec = settings | {
            "base_model": str(arguments.model),
            "version": str(version),
            "measure": measure,
            "max_new_tokens": MAX_NEW_TOKENS,
            "seed": 17,
        }
        found = searched(folder, spec)
        test = [row for row in others if row["split"] == "test"]
        for name in dict.fromkeys(("automatic", found[0])):
            changes = found[1] if name == found[0] else {}
            print(whole(folder / name, name, spec | changes, test), flush=True)


def searched(folder: Path, spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Print the trials; return the name and the changes of the winner."""
    trials, channel = trials_around(spec), RecordingChannel()
    job = Job("search", folder, {"training": spec, "trials": [changes for _, changes in trials]})
    result = search(job, channel)
    for number, (name, changes) in enumerate(trials):
        told = channel.events_of("trial")
        cells = [
            f"{one['score']:.3f} ({one['loss']:.3f}; {one['general_ability'] or 0:.2f})"
            for one in told
            if one["trial"] == number
        ]
        print(f"| {name} {changes} | {' | '.join(cells)} |", flush=True)
    print(f"winner {trials[result['winner'] or 0]}, {result['seconds']} s", flush=True)
    return trials[result["winner"] or 0]


def whole(folder: Path, name: str, spec: dict[str, Any], test: list[Any]) -> str:
    """A whole training, and how it answers the test prompts."""
    started = time.monotonic()
    result = train(Job("training", folder, spec), RecordingChannel())
    seconds = time.monotonic() - started
    with Engine(Path(spec["base_model"]), may_merge=False) as engine:
        scores = answered(engine, folder / "adapter", test, spec["measure"])
    return (
        f"{name}: test {sum(scores):.0f} of {len(scores)}, practice "
        f"{result['validation_score']:.3f}, {result['steps']} steps, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
