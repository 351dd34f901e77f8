"""How often results on test prompts were seen: the more often, the less the next ones prove.

A look is counted by the prompts, not by the test set: one counts if at least half of today's
prompts were among those seen then, because test prompts stay test prompts when a dataset grows.
A prompt was seen if its number or its question was: rows that are imported again get new numbers.

A look is also counted by what is compared: other candidates, another one that the verdict is about,
or another measure are a new chance for luck. Repeating a comparison is no new look: the answers are
the same. An evaluation of several candidates is one look; it corrects for their number by itself.
"""

from collections.abc import Collection, Iterable

from finetune_app.evaluation.held_out import HeldOutPrompt, fingerprint
from finetune_app.evaluation.models import Evaluation, TestSetLook
from finetune_app.goals.models import Goal


def looks_at(goal: Goal, prompts: Collection[HeldOutPrompt]) -> list[TestSetLook]:
    """The looks at these prompts so far."""
    half = len(prompts) / 2
    return [look for look in goal.looks.defer("results") if len(unseen([look], prompts)) <= half]


def unseen(looks: Iterable[TestSetLook], prompts: Iterable[HeldOutPrompt]) -> list[HeldOutPrompt]:
    """The prompts that were in none of these looks."""
    rows: set[int] = set()
    hashes: set[str] = set()
    for look in looks:
        rows.update(look.rows)
        hashes.update(look.prompt_hashes)
    return [one for one in prompts if one.row not in rows and one.prompt_hash not in hashes]


def number_of(evaluation: Evaluation) -> int:
    """Which look this evaluation is: 1 for the first."""
    if not evaluation.goal.looks.exists():
        return 1  # without reading the version, which may be large
    prompts = evaluation.test_prompts()
    before = _before(evaluation, prompts)
    return len(before) + _is_new(_look(evaluation, prompts), before)


def record(evaluation: Evaluation) -> None:
    """Record that the results can be seen from now on. Idempotent."""
    prompts = evaluation.test_prompts()
    look, before = _look(evaluation, prompts), _before(evaluation, prompts)
    is_new = _is_new(look, before)
    if is_new and not TestSetLook.objects.filter(evaluation=evaluation).exists():
        look.save()
    evaluation.looks = len(before) + is_new
    evaluation.save(update_fields=["looks"])


def _before(evaluation: Evaluation, prompts: list[HeldOutPrompt]) -> list[TestSetLook]:
    looks = looks_at(evaluation.goal, prompts)
    return [look for look in looks if look.evaluation_id != evaluation.pk]


def _look(evaluation: Evaluation, prompts: list[HeldOutPrompt]) -> TestSetLook:
    """What is seen of this evaluation, not saved."""
    return TestSetLook(
        goal=evaluation.goal,
        evaluation=evaluation,
        rows=[prompt.row for prompt in prompts],
        prompt_hashes=[prompt.prompt_hash for prompt in prompts],
        candidates=sorted(candidate.pk for candidate in evaluation.candidates()),
        comparison={
            "base": evaluation.base_id,
            "ours": evaluation.ours_id,
            "measure": evaluation.measure,
            "measure_settings": evaluation.measure_settings,
            "prompts": fingerprint(prompts),
        },
    )


def _is_new(look: TestSetLook, before: list[TestSetLook]) -> bool:
    """Whether it shows anything that nobody has seen. People may choose differently each time."""
    by_people = look.evaluation is not None and look.evaluation.needs_person
    return by_people or not any(_repeats(look, earlier) for earlier in before)


def _repeats(look: TestSetLook, earlier: TestSetLook) -> bool:
    """Whether it compares the same by the same: with the same candidates beside it, or with none.
    With only some of them, the recommendation would correct for fewer."""
    same_candidates = look.candidates == earlier.candidates or len(look.candidates) == 2
    return same_candidates and look.comparison == earlier.comparison
