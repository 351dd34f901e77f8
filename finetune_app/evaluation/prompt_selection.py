"""Choosing the prompts of an evaluation: the whole test split, or those that nobody has looked at.

Test prompts that were added later are fresh: no result on them was seen, so the first evaluation
that asks only them is a first look again. The trained model need not be trained again for that.
"""

from dataclasses import dataclass, field

from finetune_app.evaluation.candidate_selection import EvaluationInputs
from finetune_app.evaluation.held_out import prompts_not_learned, read_test_prompts
from finetune_app.evaluation.looks import looks_at, unseen
from finetune_app.training.services import newest_version
from finetune_app.versions.models import Version


@dataclass(frozen=True)
class PromptSelection:
    """`rows` are ids in the version; empty for its whole test split. `looks` counts how often
    results on these prompts were seen."""

    version: Version
    count: int
    looks: int = 0
    rows: list[int] = field(default_factory=list)


def all_prompts(inputs: EvaluationInputs) -> PromptSelection:
    """The test split of the version that the training learned from."""
    version, goal = inputs.version, inputs.goal
    looks = 0
    if goal.looks.exists():  # otherwise the version, which may be large, need not be read
        looks = len(looks_at(goal, read_test_prompts(version)))
    return PromptSelection(version, version.counts.get("test", 0), looks)


def fresh_prompts(inputs: EvaluationInputs) -> PromptSelection | None:
    """The test prompts of the newest version that nobody has looked at, and that the tuned model
    has not learned from. None while there are none, or where all prompts are fresh."""
    goal, newest = inputs.goal, newest_version(inputs.goal)
    looks = list(goal.looks.all())
    if newest is None or not looks:
        return None
    fresh = unseen(looks, prompts_not_learned(newest, inputs.version))
    return PromptSelection(newest, len(fresh), 0, [one.row for one in fresh]) if fresh else None
