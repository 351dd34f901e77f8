"""Which method wins on which goal: base, a good prompt, documents, fine-tuning, and both.

    python benchmarks/methods.py --model FOLDER [--goal NAME] [--write FILE]

Two goals of opposite kinds, with the application's own automatic settings, training loop, index,
search, evaluation, measures and recommendation. The wizard's advice is taken before anything is
measured.

- `handbook`: 60 questions about a made-up product whose handbook of 30 pages no model has read. The
  fine-tuned model learns 240 questions and answers about the same facts, in other words.
- `mailbox`: the sample goal, a strict form. Its "documents" are the written rules of the shop.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
HANDBOOK = ROOT / "benchmarks" / "handbook"
SEED = 17
PARAMETERS, HIDDEN = 134_515_008, 576  # of the starter

from finetune_app.basemodels.automatic_settings import automatic_settings  # noqa: E402
from finetune_app.evaluation.recommendation import (  # noqa: E402
    MethodScores,
    Recommendation,
    recommend,
)
from finetune_app.evaluation.verdict.statistics import wilson  # noqa: E402
from finetune_app.guide.advice.answers import Answers  # noqa: E402
from finetune_app.guide.advice.decide import decide  # noqa: E402
from finetune_app.guide.sample import sample  # noqa: E402
from finetune_app.knowledge.passage_counts import passage_count_for  # noqa: E402
from worker.channel import Job  # noqa: E402

Row = dict[str, Any]
SHOP_RULES = """# How we sort the mailbox

## Topic
repair: how is my bike that you have. delivery: where is my order. return: money back, or another
one. hire: renting a bike.

## Desk
Repairs go to the workshop, deliveries and returns to the office, hires to the counter.

## Due
today, if it cannot wait past tomorrow. Otherwise this_week.

## Form
Each email gets exactly three lines, and nothing else:

topic: repair, delivery, return or hire
desk: workshop, office or counter
due: today or this_week
"""


@dataclass
class Goal:
    """The rows and measure of a goal, and the answers to the wizard's questions."""

    name: str
    answers: dict[str, Any]
    measure: dict[str, Any]
    rows: list[Row]
    instructions: str
    shots: list[dict[str, str]]
    documents: dict[str, str]
    graded: bool = False


class RecordingChannel:
    """A channel that records events and never stops the job."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event} | fields)

    def check(self) -> None:
        pass

    def stopping(self) -> bool:
        return False

    def events_of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]


# --- the two goals ----------------------------------------------------------------------------


def handbook() -> Goal:
    facts, tests = (read(HANDBOOK / name) for name in ("facts.jsonl", "questions.jsonl"))
    random.Random(SEED).shuffle(facts)
    splits = ["validation"] * 30 + ["train"] * (len(facts) - 30)
    rows = [pair(one, split) for one, split in zip(facts, splits, strict=True)]
    return Goal(
        name="handbook",
        answers={
            "improve": "facts",
            "facts_change": "monthly",
            "needs_sources": True,
            "tried_prompt": "lacks_facts",
            "pairs": 240,
            "documents": 30,
            "test_questions": 60,
        },
        measure={"kind": "exact", "settings": {"within": True}},
        rows=rows + [pair(one, "test") for one in tests],
        instructions="Answer the customer's question about the Tarnwell D6 in a few words.",
        shots=[{"prompt": one["question"], "answer": one["answer"]} for one in facts[30:34]],
        documents={page.name: page.read_text() for page in sorted((HANDBOOK / "pages").iterdir())},
    )


def mailbox() -> Goal:
    found = sample()
    rows = [{"split": row["split"], "messages": row["messages"]} for row in found.rows]
    learned = [row["messages"] for row in rows if row["split"] == "train"]
    shots: dict[str, str] = {}
    for messages in learned:
        shots.setdefault(messages[-1]["content"], messages[0]["content"])
    return Goal(
        name="mailbox",
        answers={
            "improve": "format",
            "facts_change": "never",
            "needs_sources": False,
            "tried_prompt": "inconsistent",
            "pairs": 240,
            "documents": 0,
            "test_questions": 60,
        },
        measure={"kind": found.measure, "settings": found.measure_settings},
        rows=rows,
        instructions=SHOP_RULES.strip(),
        shots=[{"prompt": prompt, "answer": answer} for answer, prompt in list(shots.items())[:5]],
        documents={"rules.md": SHOP_RULES},
    )


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pair(one: Row, split: str) -> Row:
    asked = {"role": "user", "content": one["question"]}
    return {"split": split, "messages": [asked, {"role": "assistant", "content": one["answer"]}]}


# --- what the app would do --------------------------------------------------------------------


def freeze(goal: Goal, folder: Path) -> Path:
    version = folder / "version.jsonl"
    with version.open("w") as file:
        for number, row in enumerate(goal.rows):
            file.write(json.dumps({"id": number, "source": ""} | row) + "\n")
    return version


def train(goal: Goal, model: Path, version: Path, folder: Path) -> tuple[Path, float]:
    from worker.training import run

    rows = sum(row["split"] == "train" for row in goal.rows)
    spec = automatic_settings(rows, 256, HIDDEN).settings | {
        "base_model": str(model),
        "version": str(version),
        "seed": SEED,
        "sample_prompts": 0,
        "measure": goal.measure,
    }
    result = run(Job("training", folder / "run", spec), RecordingChannel())
    return folder / "run" / "adapter", result["seconds"]


def index(goal: Goal, folder: Path) -> tuple[Path, float]:
    from worker.knowledge.run import run

    started_at = time.monotonic()
    documents = []
    for number, (name, text) in enumerate(goal.documents.items(), start=1):
        document_folder = folder / "documents" / str(number)
        document_folder.mkdir(parents=True)
        (document_folder / "upload").write_text(text)
        documents.append({"id": number, "name": name, "folder": str(document_folder)})
    index_folder = folder / "index"
    run(Job("index", index_folder, {"documents": documents, "questions": []}), RecordingChannel())
    return index_folder, time.monotonic() - started_at


@dataclass
class Method:
    """One candidate, as in the spec of an evaluation job."""

    name: str
    label: str
    effort: int
    parts: dict[str, Any]
    made: str = "nothing"
    answers: list[dict[str, Any]] = field(default_factory=list)


def methods_of(
    goal: Goal, model: Path, adapter: Path, trained: float, index_folder: Path, indexed: float
) -> list[Method]:
    prompt = {"instructions": goal.instructions, "shots": goal.shots}
    documents = {
        "grounded": True,
        "knowledge": {
            "index": str(index_folder),
            "count": passage_count_for(PARAMETERS),
            "whole": False,
        },
    }
    tuned = {"adapter": str(adapter)}
    read_once, learned = f"{indexed:.0f} s of reading", f"{trained:.0f} s of training"
    return [
        Method("the base model as it is", "base", 0, {}),
        Method("a good prompt", "prompt", 1, prompt, "some writing"),
        Method("searching your documents", "documents", 2, documents, read_once),
        Method("fine-tuning", "tuned", 3, tuned, learned),
        Method(
            "fine-tuning with your documents",
            "both",
            4,
            documents | tuned,
            f"{read_once}, {learned}",
        ),
    ]


def compare(goal: Goal, model: Path, folder: Path) -> tuple[list[Method], dict[int, float]]:
    """Evaluate every method on the same test prompts."""
    from worker.evaluation.run import run

    version = freeze(goal, folder)
    adapter, trained = train(goal, model, version, folder)
    index_folder, indexed = index(goal, folder)
    methods = methods_of(goal, model, adapter, trained, index_folder, indexed)
    context = json.loads((model / "config.json").read_text())["max_position_embeddings"]
    spec = {
        "version": str(version),
        "measure": goal.measure,
        "max_new_tokens": 64,
        "general": False,
        "candidates": [
            {
                "id": number,
                "name": method.label,
                "base_model": str(model),
                "context_length": context,
            }
            | method.parts
            for number, method in enumerate(methods)
        ],
    }
    channel = RecordingChannel()
    run(Job("evaluation", folder / "evaluation", spec), channel)
    for number, method in enumerate(methods):
        mine = [one for one in channel.events_of("answer") if one["candidate"] == number]
        method.answers = sorted(mine, key=lambda one: one["index"])
    return methods, {one["candidate"]: one["seconds"] for one in channel.events_of("latency")}


# --- the table --------------------------------------------------------------------------------


def table(goal: Goal, advice: str, methods: list[Method], latency: dict[int, float]) -> str:
    scores = [
        MethodScores(
            method.name, (0, method.effort), tuple(float(a["passed"]) for a in method.answers)
        )
        for method in methods
    ]
    found: Recommendation | None = recommend(scores)
    lines = [
        f"## {goal.name}\n",
        f"Asked beforehand, the wizard says: **{advice}**.\n",
        "| method | right | likely range | seconds per answer | tokens read, written | to set up |",
        "|---|---|---|---|---|---|",
    ]
    for number, (method, mine) in enumerate(zip(methods, scores, strict=True)):
        n = len(mine.scores)
        low, high = (n * end for end in wilson(int(sum(mine.scores)), n))
        lines.append(
            f"| {method.name} | {mine.result} | {low:.0f} to {high:.0f} "
            f"| {latency.get(number, float('nan')):.1f} "
            f"| {mean(method, 'prompt_tokens'):.0f}, {mean(method, 'tokens'):.0f} | {method.made} |"
        )
    return "\n".join([*lines, "", f"**{found.sentence}**" if found else "", ""])


def mean(method: Method, what: str) -> float:
    return sum(one[what] for one in method.answers) / max(1, len(method.answers))


GOALS = {"handbook": handbook, "mailbox": mailbox}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the starter model's folder")
    parser.add_argument("--goal", choices=GOALS, help="only this one")
    parser.add_argument("--write", type=Path, help="write the tables to this file")
    parser.add_argument("--keep", type=Path, help="keep every answer in this folder")
    options = parser.parse_args()
    model = options.model.resolve()
    parts = []
    for name in [options.goal] if options.goal else GOALS:
        goal = GOALS[name]()
        advice = decide(Answers.read(goal.answers)).recommendation
        with tempfile.TemporaryDirectory() as scratch:
            methods, latency = compare(goal, model, Path(scratch))
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            answers_by_method = {method.label: method.answers for method in methods}
            (options.keep / f"{name}.json").write_text(json.dumps(answers_by_method, indent=1))
        parts.append(table(goal, str(advice), methods, latency))
        print(parts[-1], flush=True)
    if options.write:
        options.write.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
