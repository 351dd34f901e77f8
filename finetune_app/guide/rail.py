"""The rail: six steps, each with the one fact it has produced."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.guide import progress

ROOM_STEP = {
    "goals": 1, "datasets": 2, "basemodels": 3, "training": 4, "evaluation": 5,
    "candidates": 5, "deployment": 6,
}


@dataclass(frozen=True)
class Step:
    number: int
    name: str
    fact: str
    state: str  # done, now, todo
    url: str | None
    why: str = ""


def rail(goal: Goal, room: str) -> list[Step]:
    """The six steps of a goal as seen from `room` (the URL namespace of the page)."""
    (so_far,) = progress.of([goal])
    now = ROOM_STEP.get(room, 0)
    here = {"goal_id": goal.pk}
    facts = _facts(so_far)
    done = [
        bool(goal.measure), bool(so_far.version), bool(so_far.choice), bool(so_far.trained),
        bool(so_far.evaluation and so_far.evaluation.verdict), False,
    ]
    routes = ["goals", "datasets", "basemodels", "training", "evaluation", "deployment"]
    return [
        Step(
            number=n, name=str(name), fact=facts[n - 1],
            state="now" if n == now else "done" if done[n - 1] else "todo",
            url=reverse(f"{routes[n - 1]}:page", kwargs=here),
        )
        for n, name in enumerate(progress.STEP_NAMES, start=1)
    ]


def _facts(so_far: progress.Progress) -> list[str]:
    goal, version, training = so_far.goal, so_far.version, so_far.training
    evaluation = so_far.evaluation
    dataset = _("What it learns from")
    if version:
        dataset = _("%(n)d examples, version %(v)d") % {
            "n": sum(version.counts.values()), "v": version.number}
    elif so_far.examples:
        dataset = _("%(n)d examples") % {"n": so_far.examples}
    work = _("One button")
    if training and training.job.is_active and training.job.total:
        work = _("Step %(done)d of %(total)d") % {
            "done": training.job.done, "total": training.job.total}
    elif so_far.trained:
        work = _("Trained on version %(v)d") % {"v": so_far.trained.version.number}
    verdict = _("Is it really better?")
    if evaluation and evaluation.verdict:
        found = evaluation.verdict
        verdict = _("Better on %(wins)d of %(all)d") % {
            "wins": found["wins"], "all": found["wins"] + found["ties"] + found["losses"]}
    elif evaluation and evaluation.job.is_active:
        verdict = _("Being tested")
    return [
        str(MeasureKind(goal.measure).label) if goal.measure else _("What it should do"),
        dataset,
        so_far.choice.base_model.name if so_far.choice else _("What to start from"),
        work,
        verdict,
        _("Chat, download"),
    ]
