"""How often results on test prompts were seen: the more often, the less the next ones prove.

A look is counted by the prompts, not by the test set: one counts if at least half of today's
prompts were among those seen then, because test prompts stay test prompts when a dataset grows.
Testing the same candidates again is no new look: their answers are the same.
"""

from collections.abc import Collection

from finetune_app.evaluation.models import Evaluation, TestSetLook
from finetune_app.goals.models import Goal


def looks_at(goal: Goal, rows: Collection[int]) -> list[TestSetLook]:
    """The looks at these test rows (ids in a version) so far."""
    now = set(rows)
    return [look for look in goal.looks.all() if 2 * len(now.intersection(look.rows)) >= len(now)]


def number_of(evaluation: Evaluation) -> int:
    """Which look this evaluation is: 1 for the first."""
    if not evaluation.goal.looks.exists():
        return 1  # without reading the version, which may be large
    before = [look for look in _looks_of(evaluation) if look.evaluation_id != evaluation.pk]
    return len(before) + _is_new(evaluation, before)


def record(evaluation: Evaluation) -> None:
    """Record that the results can be seen from now on. Idempotent."""
    before = [look for look in _looks_of(evaluation) if look.evaluation_id != evaluation.pk]
    if _is_new(evaluation, before):
        TestSetLook.objects.get_or_create(
            evaluation=evaluation,
            defaults={
                "goal": evaluation.goal,
                "rows": [prompt.row for prompt in evaluation.test_prompts()],
                "candidates": sorted(_candidates(evaluation)),
            },
        )
    evaluation.looks = len(before) + _is_new(evaluation, before)
    evaluation.save(update_fields=["looks"])


def _looks_of(evaluation: Evaluation) -> list[TestSetLook]:
    return looks_at(evaluation.goal, [prompt.row for prompt in evaluation.test_prompts()])


def _is_new(evaluation: Evaluation, before: list[TestSetLook]) -> bool:
    """Whether a candidate takes part whose results on these prompts nobody has seen."""
    tested = {candidate for look in before for candidate in look.candidates}
    return not _candidates(evaluation) <= tested


def _candidates(evaluation: Evaluation) -> set[int]:
    return {candidate.pk for candidate in evaluation.candidates()}
