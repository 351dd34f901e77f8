"""The prompt baseline: the base model with a prompt built from the goal, which tuning must beat."""

import json
from dataclasses import dataclass
from itertools import islice

from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates.few_shot import DEFAULT_SHOTS, MAX_SHOT_CHARS
from finetune_app.candidates.prompt_builder import DEFAULT_CONTEXT_LENGTH
from finetune_app.core.files import local_path
from finetune_app.datasets.models import Split
from finetune_app.goals.goal_prompt import goal_instructions
from finetune_app.goals.models import Goal
from finetune_app.versions.models import Version

ROWS_SCANNED = 2_000  # rows of the version in which shots are looked for


@dataclass(frozen=True)
class BaselinePrompt:
    instructions: str
    shots: list[dict[str, str]]


def build_baseline_prompt(goal: Goal, version: Version, base_model: BaseModel) -> BaselinePrompt:
    """Instructions from the goal's description, and few-shot examples from the train split.

    Only train is read, so that no test prompt leaks. The shots differ in their answers as far as
    possible, so that a classification task shows several of its classes.
    """
    instructions = goal_instructions(goal)
    # Half of the context, at about two characters per token.
    limit = base_model.context or DEFAULT_CONTEXT_LENGTH
    shots = _choose_shots(version)
    while shots and len(instructions) + sum(len(s["prompt"] + s["answer"]) for s in shots) > limit:
        shots.pop()
    return BaselinePrompt(instructions, shots)


def _choose_shots(version: Version) -> list[dict[str, str]]:
    chosen: list[dict[str, str]] = []
    seen: set[str] = set()
    repeated: list[dict[str, str]] = []
    with local_path(version.stored_name).open(encoding="utf-8") as file:
        for line in islice(file, ROWS_SCANNED):
            row = json.loads(line)
            if row["split"] != Split.TRAIN:
                continue
            turns = [m for m in row["messages"] if m["role"] != "system"]
            if len(turns) != 2 or "tools" in row:
                continue
            shot = {"prompt": turns[0]["content"], "answer": turns[1]["content"]}
            if sum(map(len, shot.values())) > MAX_SHOT_CHARS:
                continue
            (repeated if shot["answer"] in seen else chosen).append(shot)
            seen.add(shot["answer"])
            if len(chosen) >= DEFAULT_SHOTS:
                break
            repeated = repeated[:DEFAULT_SHOTS]
    return (chosen + repeated)[:DEFAULT_SHOTS]
