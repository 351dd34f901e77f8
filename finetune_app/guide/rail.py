"""The rail: six steps, each with the one fact it has produced."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.deployment.models import Deployment
from finetune_app.goals.models import Goal, MeasureKind, Method
from finetune_app.guide import progress
from finetune_app.guide.methods import DOCUMENTS, INSTRUCTIONS, TRAINING

ROOM_STEP = {
    "goals": 1,
    "guide": 1,
    "datasets": 2,
    "imports": 2,
    "basemodels": 3,
    "training": 4,
    "knowledge": 4,
    "candidates": 4,
    "evaluation": 5,
    "deployment": 6,
    "model_export": 6,
    "deployment_keys": 6,
    "playground": 6,
    "alerts": 6,
}
TALK = ("candidates:chat", "candidates:chat_stream")  # the room's other pages make instructions
ANSWERS = ("candidates:suggestions", "candidates:stop_suggestions")  # for rows of the dataset


@dataclass(frozen=True)
class Step:
    number: int
    name: str
    fact: str
    state: str  # done, now, todo
    url: str | None
    why: str = ""


def step_of(page: str) -> int:
    """The step that a page belongs to, by its full name (room:page); 0 for none."""
    if page in ANSWERS:
        return 2
    return 5 if page in TALK else ROOM_STEP.get(page.partition(":")[0], 0)


def rail(goal: Goal, page: str) -> list[Step]:
    """The six steps of a goal as seen from `page` (its name, or only that of its room)."""
    (so_far,) = progress.of([goal])
    now = step_of(page)
    live = Deployment.objects.filter(goal=goal, paused_at=None).exists()
    facts, urls = _facts(so_far, live), _urls(so_far)
    done = [
        bool(goal.measure),
        bool(so_far.version),
        bool(so_far.choice),
        _is_made(so_far),
        bool(so_far.evaluation and so_far.evaluation.verdict),
        live,
    ]
    return [
        Step(
            number=n,
            name=progress.step_name(goal, n),
            fact=facts[n - 1],
            state="now" if n == now else "done" if done[n - 1] else "todo",
            url=urls[n - 1],
        )
        for n in range(1, len(facts) + 1)
    ]


def _urls(so_far: progress.Progress) -> list[str]:
    rooms = ["goals", "datasets", "basemodels", "training", "evaluation", "deployment"]
    urls = [reverse(f"{room}:page", kwargs={"goal_id": so_far.goal.pk}) for room in rooms]
    method = Method(so_far.goal.method)
    way = TRAINING if method.trains else INSTRUCTIONS
    if method == Method.RAG or (method.searches and not so_far.searchable):
        way = DOCUMENTS
    urls[3] = way.url(so_far.goal)
    return urls


def _is_made(so_far: progress.Progress) -> bool:
    """Whether step 4 has produced what the goal's method wants of it."""
    method = Method(so_far.goal.method)
    if method == Method.PROMPT:
        return bool(so_far.instructions)
    return (so_far.searchable or not method.searches) and bool(so_far.trained or not method.trains)


def _work(so_far: progress.Progress) -> str:
    """The fact of step 4."""
    method, training = Method(so_far.goal.method), so_far.training
    if method == Method.PROMPT:
        return _("Kept") if so_far.instructions else _("What you tell it")
    if method.searches and not (method.trains and so_far.searchable):
        if so_far.knowledge and so_far.knowledge.index:
            return _("Can be searched")
        return _("What it looks up")
    if training and training.job.is_active and training.job.total:
        return _("Step %(done)d of %(total)d") % {
            "done": training.job.done,
            "total": training.job.total,
        }
    if so_far.trained:
        return _("Trained on version %(v)d") % {"v": so_far.trained.version.number}
    return _("One button")


def _facts(so_far: progress.Progress, live: bool) -> list[str]:
    goal, version, evaluation = so_far.goal, so_far.version, so_far.evaluation
    trains = Method(goal.method).trains
    dataset = _("What it learns from") if trains else _("What it is tested with")
    if version:
        dataset = _("%(n)d examples, version %(v)d") % {
            "n": sum(version.counts.values()),
            "v": version.number,
        }
    elif so_far.examples:
        dataset = _("%(n)d examples") % {"n": so_far.examples}
    verdict = _("Is it really better?")
    if evaluation and evaluation.verdict:
        found = evaluation.verdict
        verdict = _("Better on %(wins)d of %(all)d") % {
            "wins": found["wins"],
            "all": found["wins"] + found["ties"] + found["losses"],
        }
    elif evaluation and evaluation.job.is_active:
        verdict = _("Being tested")
    return [
        str(MeasureKind(goal.measure).label) if goal.measure else _("What it should do"),
        dataset,
        so_far.choice.base_model.name if so_far.choice else _("What to start from"),
        _work(so_far),
        verdict,
        _("Live") if live else _("Chat, download"),
    ]
