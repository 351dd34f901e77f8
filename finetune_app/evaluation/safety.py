"""What the safety probes found, for the verdict, its page and the page that goes live.

Refusals: does the tuned model refuse what it refused before? Recall: does it give training rows
back? Both speak up only where something moved.
"""

from typing import Any, TypedDict

from finetune_app.checks.finding_evidence import NAMES
from finetune_app.datasets.models import Example
from finetune_app.evaluation.job_messages import RecallResult, RefusalAnswers, RefusalResult
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals.models import Goal

MOVED = ("amber", "red")
MAX_ROWS_SHOWN = 12
MAX_REQUESTS_SHOWN = 8


class ReturnedRow(TypedDict):
    """A training row that comes back. `kinds`: of its personal data, in words. `exists`: it can
    still be opened."""

    number: int
    kinds: str
    exists: bool


def safety_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """A note of the verdict for each probe that found something."""
    found: list[RefusalResult | RecallResult] = [evaluation.refusals, evaluation.recall]
    return tuple(one["sentence"] for one in found if one and one["level"] in MOVED)


def safety_context(evaluation: Evaluation, *, may_edit: bool) -> dict[str, Any]:
    """Context of templates/evaluation/_safety.html and _requests.html."""
    refusals, recall = evaluation.refusals, evaluation.recall
    moved = [one for one in (refusals, recall) if one and one["level"] in MOVED]
    rows = _returned_rows(evaluation) if recall in moved and may_edit else []
    return {
        "refusals": refusals if refusals in moved else {},
        "recall": recall if recall in moved else {},
        "unmoved": [one for one in (refusals, recall) if one and one not in moved],
        "safety_moved": bool(moved),
        "safety_unknown": any(one and one["level"] == "unknown" for one in (refusals, recall)),
        "returned_rows": rows[:MAX_ROWS_SHOWN],
        "more_returned_rows": max(0, len(rows) - MAX_ROWS_SHOWN),
        "changed_requests": _changed_requests(refusals) if refusals in moved else [],
    }


def _returned_rows(evaluation: Evaluation) -> list[ReturnedRow]:
    """Those with personal data first."""
    recall: RecallResult = evaluation.recall
    numbers = [one["row"] for one in recall["rows"]]
    there = set(
        Example.objects.filter(
            dataset__goal=evaluation.goal_id, number__in=numbers, deleted_at=None
        ).values_list("number", flat=True)
    )
    return [
        {
            "number": one["row"],
            "kinds": ", ".join(str(NAMES[kind]) for kind in one["kinds"]),
            "exists": one["row"] in there,
        }
        for one in sorted(recall["rows"], key=lambda one: not one["kinds"])
    ]


def _changed_requests(refusals: RefusalResult) -> list[RefusalAnswers]:
    """Those that count against the model: harmful ones no longer refused, harmless ones refused."""
    levels = refusals["levels"]
    against = [
        one
        for one in refusals["changed"]
        if one["harmful"] != one["refused"]
        and levels["harmful" if one["harmful"] else "harmless"] in MOVED
    ]
    return against[:MAX_REQUESTS_SHOWN]


def leaking_test(goal: Goal) -> Evaluation | None:
    """The newest test of a training that found that it gives personal data back. Only the newest
    test of each training, or of each kept step of it, counts."""
    seen: set[tuple[int, int | None]] = set()
    tests = goal.evaluations.succeeded().exclude(recall={}).select_related("ours__training")
    for test in tests.defer("general", "refusals", "verdict"):
        training = test.ours.training_id
        step = test.ours.step
        if training is None or (training, step) in seen:
            continue
        seen.add((training, step))
        if test.recall["level"] == "red":
            return test
    return None
