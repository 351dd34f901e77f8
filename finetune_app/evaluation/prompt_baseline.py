"""The base model with the best prompt we can write from the goal: tuning must beat this too."""

import json
from dataclasses import dataclass
from itertools import islice

from finetune_app.basemodels.models import BaseModel
from finetune_app.core.files import local_path
from finetune_app.datasets.models import Split, Version
from finetune_app.goals.goal_prompt import goal_instructions
from finetune_app.goals.models import Goal

SHOTS = 4
LONGEST_SHOT = 2_000  # characters; longer examples would crowd out the question
LEAST_CONTEXT = 2_048  # tokens, of a model that does not say
READ = 2_000  # rows in which to look for shots


@dataclass(frozen=True)
class BaselinePrompt:
    instructions: str
    shots: list[dict[str, str]]


def build_baseline_prompt(goal: Goal, version: Version, base_model: BaseModel) -> BaselinePrompt:
    """Instructions from the goal's own words, and shots from the rows that a model may learn from.

    Only train is read, so that the rival never sees a test prompt. The shots differ in their
    answers as far as possible, so that a rival that must sort sees several of the sorts.
    """
    instructions = goal_instructions(goal)
    room = base_model.context or LEAST_CONTEXT  # half of it, at two letters a token
    shots = _shots(version)
    while shots and len(instructions) + sum(len(s["prompt"] + s["answer"]) for s in shots) > room:
        shots.pop()
    return BaselinePrompt(instructions, shots)


def _shots(version: Version) -> list[dict[str, str]]:
    chosen: list[dict[str, str]] = []
    seen: set[str] = set()
    spare: list[dict[str, str]] = []
    with local_path(version.stored_name).open(encoding="utf-8") as file:
        for line in islice(file, READ):
            row = json.loads(line)
            if row["split"] != Split.TRAIN:
                continue
            turns = [m for m in row["messages"] if m["role"] != "system"]
            if len(turns) != 2:
                continue
            shot = {"prompt": turns[0]["content"], "answer": turns[1]["content"]}
            if sum(map(len, shot.values())) > LONGEST_SHOT:
                continue
            (spare if shot["answer"] in seen else chosen).append(shot)
            seen.add(shot["answer"])
            if len(chosen) >= SHOTS:
                break
            spare = spare[:SHOTS]
    return (chosen + spare)[:SHOTS]
