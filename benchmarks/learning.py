"""How much do the automatic settings get out of the examples?

    python -m benchmarks.learning MODEL_FOLDER [--goal NAME] [--seeds 17 18 19] [--set epochs=3 ...]

Trains on the sample goal, and on 400 rows each of Snips (a request to JSON) and NL2Bash (English to
a command), with the settings that the application chooses or those given, and has the sealed test
prompts answered: the training never sees them. Prints a row for each seed, then the medians.
The perplexity of ordinary text, over the base model's, says what was forgotten.

Snips and NL2Bash are not part of the project: FINETUNE_DATA_DIR_SAMPLES says where they lie.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.methods import HIDDEN, RecordingChannel, Row, mailbox
from finetune_app.basemodels.automatic_settings import automatic_settings
from finetune_app.candidates.prompt_builder import PromptTemplate
from finetune_app.goals.measures import get_measure
from worker.channel import Job
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.evaluation.general_check.check import check_general
from worker.evaluation.inputs import Candidate
from worker.template import load_tokenizer, tokenize_example
from worker.training.loop import run

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = Path(os.environ.get("FINETUNE_DATA_DIR_SAMPLES", ROOT.parent / "shared" / "data"))
ROWS, DRAWN_BY = 400, 17
MAX_NEW_TOKENS = 128


def snips() -> tuple[list[Row], dict[str, Any]]:
    lines = (SAMPLES / "snips_json.jsonl").read_text().splitlines()
    found = [json.loads(line)["messages"] for line in random.Random(DRAWN_BY).sample(lines, ROWS)]
    return split(found), {"kind": "json", "settings": {}}


def nl2bash() -> tuple[list[Row], dict[str, Any]]:
    with (SAMPLES / "nl2bash.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [
        [
            {"role": "user", "content": row["request"]},
            {"role": "assistant", "content": row["command"]},
        ]
        for row in random.Random(DRAWN_BY).sample(rows, ROWS)
    ]
    return split(found), {"kind": "bash", "settings": {"compare": "same_command"}}


def sample_goal() -> tuple[list[Row], dict[str, Any]]:
    goal = mailbox()
    return goal.rows, goal.measure


GOALS = {"sample": sample_goal, "snips": snips, "nl2bash": nl2bash}


def split(conversations: list[list[dict[str, str]]]) -> list[Row]:
    """280 to learn from, 50 for practice, 70 sealed: about what the application does."""
    splits = ["train"] * 280 + ["validation"] * 50 + ["test"] * 70
    return [
        {"split": part, "messages": messages}
        for part, messages in zip(splits, conversations, strict=True)
    ]


def one_run(
    model: Path, rows: list[Row], measure: dict[str, Any], changed: dict[str, Any], seed: int
) -> dict[str, Any]:
    tokenizer = load_tokenizer(model)
    learned = [row for row in rows if row["split"] == "train"]
    longest = max(len(tokenize_example(tokenizer, row["messages"], 4096).input_ids) for row in rows)
    settings = automatic_settings(len(learned), longest, HIDDEN).settings
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        version = folder / "version.jsonl"
        version.write_text(
            "".join(json.dumps({"id": n} | row) + "\n" for n, row in enumerate(rows))
        )
        spec = settings | {
            "base_model": str(model),
            "version": str(version),
            "measure": measure,
            "max_new_tokens": MAX_NEW_TOKENS,
            "seed": seed,
        }
        channel = RecordingChannel()
        started = time.monotonic()
        result = run(Job("training", folder / "run", spec | changed), channel)
        seconds = time.monotonic() - started
        test = [row for row in rows if row["split"] == "test"]
        with Engine(model, may_merge=False) as engine:
            scores = answered(engine, folder / "run" / "adapter", test, measure)
            general = perplexity_ratio(engine, folder, test)
    return {
        "seed": seed,
        "test": sum(scores) / len(scores),
        "practice": result.get("validation_score"),
        "text": general["perplexity_ratio"],
        "level": general["level"],
        "steps": result["steps"],
        "best": result["best_step"],
        "seconds": round(seconds),
        "measured": result.get("validation_seconds"),
        "curve": [
            (point["step"], point["validation_loss"], point.get("validation_score"))
            for point in channel.events_of("point")
            if point["validation_loss"] is not None
        ],
    }


def answered(
    engine: Engine, adapter: Path, test: list[Row], measure: dict[str, Any]
) -> list[float]:
    requests = [
        GenerationRequest(row["messages"][:-1], adapter, max_new_tokens=MAX_NEW_TOKENS)
        for row in test
    ]
    judge = get_measure(measure["kind"], measure["settings"])
    return [
        float(judge.check(answer.text.strip(), row["messages"][-1]["content"]).passed)
        for answer, row in zip(engine.generate(requests), test, strict=True)
    ]


def perplexity_ratio(engine: Engine, folder: Path, test: list[Row]) -> dict[str, Any]:
    channel = RecordingChannel()
    adapter = folder / "run" / "adapter"
    check_general(
        engine,
        [Candidate(1, "tuned", None, adapter, PromptTemplate())],
        wanted=[row["messages"][-1]["content"] for row in test],
        cache=folder / "cache",
        channel=channel,
    )
    return channel.events_of("general")[0]


def value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--goal", choices=GOALS, nargs="*", default=list(GOALS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[17, 18, 19])
    parser.add_argument("--set", nargs="*", default=[], help="settings, such as epochs=3")
    parser.add_argument("--curves", action="store_true", help="print every measurement, too")
    options = parser.parse_args()
    changed = {name: value(text) for name, _, text in (one.partition("=") for one in options.set)}
    print("| goal | seed | test | practice | text | general | steps, best | s, measuring |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.goal:
        rows, measure = GOALS[name]()
        found = []
        for seed in options.seeds:
            one = one_run(options.model.resolve(), rows, measure, changed, seed)
            found.append(one)
            practice = "" if one["practice"] is None else f"{one['practice']:.0%}"
            print(
                f"| {name} | {one['seed']} | {one['test']:.0%} | {practice} | {one['text']:.3f} "
                f"| {one['level']} | {one['steps']}, {one['best']} "
                f"| {one['seconds']}, {one['measured']} |",
                flush=True,
            )
            if options.curves:
                print(one["curve"], flush=True)
        print(f"| **{name}** | median | **{median(one['test'] for one in found):.0%}** | | | | | |")


if __name__ == "__main__":
    main()
