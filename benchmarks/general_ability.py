"""Does the general check tell a healthy adapter from a harmed one?

    python -m benchmarks.general_ability MODEL_FOLDER --tasks seed_tasks_alpaca.json

Twelve adapters on each of two base models: the starter, and a second one made here by training it
further on another task. Half of the recipes are gentle, half are meant to harm: too high a
learning rate, no replay, answers that belong to other questions, answers that are noise. None of
them was used to choose the check's thresholds.

What is true is decided by something that the check does not look at: how well each adapter
predicts good answers to 175 tasks of other people (not part of this project). Harmed: 10 % harder
to predict than for its base model. The table has the area under the ROC curve of the check.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from sklearn.metrics import roc_auc_score
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.methods import RecordingChannel, Row, handbook, mailbox
from finetune_app.candidates.prompt_builder import PromptTemplate
from worker.channel import Job
from worker.engine.engine import Engine
from worker.evaluation.general_check.check import check_general
from worker.evaluation.general_check.findings import ORDER
from worker.evaluation.inputs import Candidate
from worker.template import load_tokenizer, prompt_token_ids
from worker.training.loop import run

ROWS = 64  # training rows of each adapter
HARMED = 1.10  # perplexity of other people's answers, against the base model
GOALS = {"mailbox": mailbox, "handbook": handbook}


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained. `answers`: the task's own, those of other rows, or noise."""

    name: str
    settings: dict[str, Any]
    answers: str = "own"


RECIPES = (
    Recipe("replay, 3e-4, rank 8", {"learning_rate": 3e-4, "rank": 8}),
    Recipe("replay, 6e-4, rank 32", {"learning_rate": 6e-4, "rank": 32}),
    Recipe("no replay, 5e-5", {"learning_rate": 5e-5, "replay_share": 0}),
    Recipe("no replay, 3e-3, five passes", {"learning_rate": 3e-3, "replay_share": 0, "epochs": 5}),
    Recipe(
        "answers of other rows, 2e-3",
        {"learning_rate": 2e-3, "replay_share": 0, "epochs": 4},
        "shuffled",
    ),
    Recipe(
        "answers are noise, 2e-3",
        {"learning_rate": 2e-3, "replay_share": 0, "epochs": 4},
        "noise",
    ),
)


@dataclass
class Found:
    """What the check and other people's tasks say about one adapter."""

    base: str
    task: str
    recipe: str
    adapter: Path
    check: dict[str, Any] = field(default_factory=dict)
    harder: float = 0.0  # perplexity of other people's answers over the base model's

    @property
    def suspicion(self) -> float:
        """Orders adapters by level, then by the perplexity of ordinary text."""
        return 10 * ORDER.index(self.check["level"]) + float(self.check["perplexity_ratio"])


def training_rows(task: str, answers: str, seed: int) -> list[Row]:
    draw = random.Random(seed)
    rows = [row for row in GOALS[task]().rows if row["split"] == "train"][:ROWS]
    texts = [row["messages"][-1]["content"] for row in rows]
    if answers == "shuffled":
        draw.shuffle(texts)
    if answers == "noise":
        texts = ["".join(draw.choices(string.ascii_letters + " ", k=60)) for _ in texts]
    return [
        {
            "id": number,
            "split": "train",
            "messages": [
                *row["messages"][:-1],
                {"role": "assistant", "content": text},
            ],
        }
        for number, (row, text) in enumerate(zip(rows, texts, strict=True))
    ]


def train(base: Path, rows: list[Row], settings: dict[str, Any], folder: Path) -> Path:
    (folder / "run").mkdir(parents=True)
    version = folder / "version.jsonl"
    version.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {
        "base_model": str(base),
        "version": str(version),
        "sample_prompts": 0,
        "max_tokens": 256,
        "epochs": 3,
        **settings,
    }
    run(Job("training", folder / "run", spec), RecordingChannel())
    return folder / "run" / "adapter"


def second_base(starter: Path, folder: Path) -> Path:
    """The starter, trained further on facts of a handbook and merged: another base model."""
    rows = training_rows("handbook", "own", seed=3)
    adapter = train(starter, rows, {"learning_rate": 4e-4, "seed": 5}, folder / "further")
    model = AutoModelForCausalLM.from_pretrained(starter)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.save_pretrained(folder / "second")
    AutoTokenizer.from_pretrained(starter).save_pretrained(folder / "second")
    return folder / "second"


def check_all(engine: Engine, found: list[Found], cache: Path) -> None:
    """The application's own check, of each task's adapters in one batch."""
    for task in GOALS:
        mine = [one for one in found if one.task == task]
        channel = RecordingChannel()
        candidates = [
            Candidate(number, one.recipe, None, one.adapter, PromptTemplate())
            for number, one in enumerate(mine)
        ]
        wanted = [row["messages"][-1]["content"] for row in GOALS[task]().rows]
        check_general(engine, candidates, wanted=wanted, cache=cache, channel=channel)
        for event in channel.events_of("general"):
            mine[event["candidate"]].check = event


def answer_loss(engine: Engine, adapter: Path | None, tasks: list[dict[str, str]]) -> float:
    """Mean cross-entropy, in nats per token, of the answers to other people's tasks."""

    def measure() -> float:
        name = engine.adapters.load(adapter)
        engine.adapters.select([name])
        total, tokens = 0.0, 0
        tokenizer = load_tokenizer(engine.loaded.folder)
        for task in tasks:
            asked = " ".join(filter(None, (task["instruction"], task["input"])))
            prompt = prompt_token_ids(tokenizer, [{"role": "user", "content": asked}])
            answer = tokenizer(task["output"], add_special_tokens=False).input_ids[:96]
            ids = torch.tensor([(prompt + answer)[-512:]])
            scores = engine.loaded.model(input_ids=ids, use_cache=False).logits[0, :-1].float()
            losses = cross_entropy(scores, ids[0, 1:], reduction="none")[-len(answer) :]
            total, tokens = total + float(losses.sum()), tokens + len(losses)
        return total / tokens

    return engine.call(measure)


def judge(base_name: str, base: Path, tasks: list[dict[str, str]], folder: Path) -> list[Found]:
    found = []
    for number, recipe in enumerate(RECIPES):
        for task in GOALS:
            seed = 100 + number
            rows = training_rows(task, recipe.answers, seed)
            place = folder / base_name / f"{number}-{task}"
            adapter = train(base, rows, {"seed": seed, **recipe.settings}, place)
            found.append(Found(base_name, task, recipe.name, adapter))
            print(f"trained {base_name}, {task}, {recipe.name}", flush=True)
    with Engine(base, "bf16", may_merge=False) as engine:
        check_all(engine, found, folder / "cache")
        plain = answer_loss(engine, None, tasks)
        for one in found:
            loss = answer_loss(engine, one.adapter, tasks)
            one.harder = float(torch.exp(torch.tensor(loss - plain)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tasks", type=Path, required=True)
    options = parser.parse_args()
    tasks = [one for one in json.loads(options.tasks.read_text()) if one["output"].strip()]
    started = time.monotonic()
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bases = {"starter": options.model.resolve()}
        bases["second"] = second_base(bases["starter"], folder)
        for name, base in bases.items():
            found += judge(name, base, tasks, folder)
    print("\n| base | task | recipe | others' answers | ordinary text | level |")
    print("|---|---|---|---|---|---|")
    for one in sorted(found, key=lambda one: one.harder):
        print(
            f"| {one.base} | {one.task} | {one.recipe} | {one.harder:.3f} "
            f"| {one.check['perplexity_ratio']:.3f} | {one.check['level']} |"
        )
    harmed = [one.harder > HARMED for one in found]
    area = roc_auc_score(harmed, [one.suspicion for one in found])
    print(f"\n{sum(harmed)} of {len(found)} are harmed. Area under the ROC curve: {area:.3f}")
    for level in ("amber", "red"):
        flagged = [ORDER.index(one.check["level"]) >= ORDER.index(level) for one in found]
        hits = sum(flag and harm for flag, harm in zip(flagged, harmed, strict=True))
        false = sum(flag and not harm for flag, harm in zip(flagged, harmed, strict=True))
        print(f"{level} or worse: {hits} of the harmed, {false} of the others")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
