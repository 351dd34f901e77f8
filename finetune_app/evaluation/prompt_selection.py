"""Choosing the prompts of an evaluation: the whole test split, or those that nobody has looked at.

Test prompts that were added later are fresh: no result on them was seen, so the first evaluation
that asks only them is a first look again. The trained model need not be trained again for that.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from finetune_app.candidates.models import Candidate
from finetune_app.evaluation.candidate_selection import EvaluationInputs
from finetune_app.evaluation.held_out import learned_rows, read_test_prompts
from finetune_app.evaluation.leakage import left_out_of
from finetune_app.evaluation.looks import looks_at, unseen
from finetune_app.training.lineage import version_ids
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
    looks = list(goal.looks.defer("results"))
    if newest is None or not looks:
        return None
    learned: set[int] = set()
    if inputs.training:
        versions = Version.objects.filter(pk__in=version_ids(inputs.training))
        learned = learned_rows(newest, versions)
    fresh = [one.row for one in unseen(looks, read_test_prompts(newest)) if one.row not in learned]
    return PromptSelection(newest, len(fresh), 0, fresh) if fresh else None


def prompts_for(inputs: EvaluationInputs, candidates: Collection[Candidate]) -> PromptSelection:
    """The test split of the version that the training learned from; of the newest version where
    nothing of that one can be asked. So nothing has to be trained again."""
    newest = newest_version(inputs.goal)
    if newest and newest != inputs.version:
        left_out = left_out_of(inputs.version, candidates)
        if len(left_out.rows) >= inputs.version.counts.get("test", 0):
            return PromptSelection(newest, newest.counts.get("test", 0))
    return all_prompts(inputs)
