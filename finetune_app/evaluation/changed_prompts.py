"""Results on test prompts that were removed or changed after they had been seen.

Who sees on which prompts a model fails could take those away, or write other answers to them, and
test again. So what was seen counts beside what is seen today, and a verdict has to hold both ways
(verdict/computation.py: held_to). A model that was trained again, or a prompt that was written
anew, is held to what its like got then: it was not asked.

A test of mostly other prompts is another test. So is one whose prompts were nearly all rewritten,
unless some were removed: a new format of all answers is no choice among them.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypedDict

from finetune_app.candidates.models import Candidate
from finetune_app.datasets.text import normalise
from finetune_app.evaluation.held_out import HeldOutPrompt, read_test_prompts
from finetune_app.evaluation.looks import unseen
from finetune_app.evaluation.models import Comparison, Evaluation, TestSetLook
from finetune_app.evaluation.outcomes import PromptResult, trivial_names

MIN_SHARED = 0.1  # of today's prompts; with fewer that were in the earlier test, it is another test


class StoredResult(TypedDict):
    """A PromptResult as TestSetLook.results holds it: `scores` by `_role`, no texts."""

    index: int
    content: str
    group: str
    scores: dict[str, float | None]
    chosen: int | None


def keep_results(evaluation: Evaluation, results: Sequence[PromptResult]) -> None:
    """Keep them with the look, also when the evaluation is deleted."""
    ids = _ids_by_role(evaluation)
    contents = {row.index: _content(row) for row in evaluation.comparisons.all()}
    stored: list[StoredResult] = [
        {
            "index": one.index,
            "content": contents[one.index],
            "group": one.group,
            "scores": {role: one.scores[pk] for role, pk in ids.items() if pk in one.scores}
            | {name: one.scores[name] for name in trivial_names([one])},
            "chosen": one.chosen,
        }
        for one in results
    ]
    TestSetLook.objects.filter(evaluation=evaluation).update(results=stored)


def results_on_changed_prompts(evaluation: Evaluation) -> list[PromptResult]:
    """Each of those prompts once, with the newest result on it."""
    if hasattr(evaluation, "recheck"):  # of what is live: it asks a part of the prompts
        return []
    earlier = evaluation.goal.looks.filter(at__lt=evaluation.created_at).exclude(results=[])
    looks = [look for look in earlier.order_by("at") if _compares_the_same(look, evaluation)]
    if not looks:
        return []
    prompts = evaluation.test_prompts()
    left_out = _contents(read_test_prompts(evaluation.version)) - _contents(prompts)
    found: dict[str, StoredResult] = {}
    for look in looks:
        changed_since = look.at < evaluation.version.created_at
        for one in _changed(look, prompts):
            if changed_since or one["content"] in left_out:
                found[one["content"]] = one
    ids = _ids_by_role(evaluation)
    return [_result(one, ids) for one in found.values()]


def _changed(look: TestSetLook, prompts: Sequence[HeldOutPrompt]) -> list[StoredResult]:
    """The results on prompts that are not among these any more, as they were."""
    enough = MIN_SHARED * len(prompts)
    contents = _contents(prompts)
    kept = {one["content"] for one in look.results}
    removed_count = len(prompts) - len(unseen([look], prompts)) >= enough
    changed_count = sum(_content(one) in kept for one in prompts) >= enough
    rows = {one.row for one in prompts}
    questions = {one.prompt_hash for one in prompts}

    def counts(one: StoredResult) -> bool:
        asked = look.rows[one["index"]] in rows or look.prompt_hashes[one["index"]] in questions
        return changed_count if asked else removed_count

    results: list[StoredResult] = look.results
    return [one for one in results if one["content"] not in contents and counts(one)]


def _compares_the_same(look: TestSetLook, evaluation: Evaluation) -> bool:
    """Whether it shows the like of ours beside the same base model, by this kind of measure."""
    if look.comparison.get("measure") != evaluation.measure:
        return False
    tested = Candidate.objects.in_bulk([look.comparison["base"], look.comparison["ours"]])
    base, ours = (tested.get(look.comparison[one]) for one in ("base", "ours"))
    if base is None or base.base_model_id != evaluation.base.base_model_id:
        return False
    if evaluation.needs_person:
        return ours is not None and _role(ours) == _role(evaluation.ours)
    return _role(evaluation.ours) in look.results[0]["scores"]


def _result(stored: StoredResult, ids: dict[str, str]) -> PromptResult:
    scores = {ids.get(role, role): score for role, score in stored["scores"].items()}
    return PromptResult(stored["index"], stored["group"], scores, stored["chosen"])


def _ids_by_role(evaluation: Evaluation) -> dict[str, str]:
    """Of two with one role, ours counts."""
    return {_role(one): str(one.pk) for one in [*evaluation.candidates(), evaluation.ours]}


def _role(candidate: Candidate) -> str:
    """The same for a model that is trained again and a prompt that is written anew."""
    return f"{candidate.kind} elsewhere" if candidate.is_remote else candidate.kind


def _contents(prompts: Iterable[HeldOutPrompt]) -> set[str]:
    return {_content(one) for one in prompts}


def _content(prompt: HeldOutPrompt | Comparison) -> str:
    """32 hex digits that are the same for the same question with the same wanted answer."""
    text = f"{normalise(prompt.prompt)}\0{prompt.wanted.strip()}"
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
