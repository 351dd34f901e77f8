"""The rail: the navigation bar with the six steps, each with one fact about its result."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.evaluation.verdict.types import BETTER_LEVELS, StoredVerdict
from finetune_app.goals.models import Goal, MeasureKind, Method
from finetune_app.guide.progress import Progress
from finetune_app.guide.step_results import StepResults
from finetune_app.guide.steps import DOCUMENTS, INSTRUCTIONS, TRAINING, step_name

STEP_OF_NAMESPACE = {
    "goals": 1,
    "guide": 1,
    "datasets": 2,
    "imports": 2,
    "checks": 2,
    "versions": 2,
    "labelling": 2,
    "preferences": 2,
    "basemodels": 3,
    "training": 4,
    "hyperparameter_search": 4,
    "remote_training": 4,
    "hub_training": 4,
    "knowledge": 4,
    "candidates": 4,
    "evaluation": 5,
    "judging": 5,
    "prompt_sheets": 5,
    "deployment": 6,
    "request_log": 6,
    "monitoring": 6,
    "model_export": 6,
    "deployment_keys": 6,
    "playground": 6,
    "alerts": 6,
}
CHAT_PAGES = (
    "candidates:chat",
    "candidates:chat_stream",
)  # step 5; its other pages: step 4
SUGGESTION_PAGES = ("candidates:suggestions", "candidates:stop_suggestions")  # step 2


@dataclass(frozen=True)
class Step:
    number: int
    name: str
    fact: str
    state: str  # done, now, todo
    url: str | None
    why: str = ""


def step_of(page: str) -> int:
    """The step a page belongs to, by its URL name (`room:page`); 0 for none."""
    if page in SUGGESTION_PAGES:
        return 2
    return 5 if page in CHAT_PAGES else STEP_OF_NAMESPACE.get(page.partition(":")[0], 0)


def rail(goal: Goal, page: str, results: StepResults | None = None) -> list[Step]:
    """The six steps of a goal, as seen from `page` (a URL name, or only its namespace).

    `results` are the goal's, where a view has read them already.
    """
    progress = Progress(goal, results or StepResults([goal]))
    now = step_of(page)
    facts, urls = _facts(progress), _urls(progress)
    done = [
        bool(goal.measure),
        bool(progress.version),
        bool(progress.base_model),
        _step_4_done(progress),
        bool(progress.evaluation and progress.evaluation.verdict),
        progress.live,
    ]
    return [
        Step(
            number=n,
            name=step_name(goal, n),
            fact=facts[n - 1],
            state="now" if n == now else "done" if done[n - 1] else "todo",
            url=urls[n - 1],
        )
        for n in range(1, len(facts) + 1)
    ]


def _urls(progress: Progress) -> list[str]:
    rooms = ["goals", "datasets", "basemodels", "training", "evaluation", "deployment"]
    urls = [reverse(f"{room}:page", kwargs={"goal_id": progress.goal.pk}) for room in rooms]
    method = Method(progress.goal.method)
    option = TRAINING if method.trains else INSTRUCTIONS
    if method == Method.RAG or (method.searches and not progress.searchable):
        option = DOCUMENTS
    urls[3] = option.url(progress.goal)
    return urls


def _step_4_done(progress: Progress) -> bool:
    """Whether step 4 has produced what the goal's method needs."""
    method = Method(progress.goal.method)
    if method == Method.PROMPT:
        return bool(progress.instructions)
    return (not method.searches or progress.searchable) and bool(
        not method.trains or progress.trained
    )


def _step_4_fact(progress: Progress) -> str:
    """The fact of step 4."""
    method, training = Method(progress.goal.method), progress.training
    if method == Method.PROMPT:
        return _("Saved") if progress.instructions else _("What you tell it")
    if method.searches and not (method.trains and progress.searchable):
        if progress.knowledge and progress.knowledge.index:
            return _("Can be searched")
        return _("What it looks up")
    if training and training.job.is_active and training.job.total:
        return _("Step %(done)d of %(total)d") % {
            "done": training.job.done,
            "total": training.job.total,
        }
    if progress.trained:
        return _("Trained on version %(v)d") % {"v": progress.trained.version}
    return _("One button")


def _verdict_fact(verdict: StoredVerdict) -> str:
    """A few words. How many prompts it won stands there only where that is the verdict."""
    if verdict["level"] in BETTER_LEVELS:
        total = verdict["wins"] + verdict["ties"] + verdict["losses"]
        return _("Better on %(wins)d of %(all)d") % {"wins": verdict["wins"], "all": total}
    if verdict.get("held_back"):
        return _("Test was changed")
    return {
        "not_better_than_trivial": _("No real gain"),
        "too_few_to_tell": _("Too few to tell"),
        "no_difference": _("No real difference"),
        "worse": _("Worse than before"),
    }[verdict["level"]]


def _dataset_fact(progress: Progress) -> str:
    """Examples to learn from; questions to test with where nothing is trained."""
    trains, version = progress.goal.trains, progress.version
    if version:
        count, number = sum(version.counts.values()), version.number
        words = (
            ngettext("%(n)d example, version %(v)d", "%(n)d examples, version %(v)d", count)
            if trains
            else ngettext("%(n)d question, version %(v)d", "%(n)d questions, version %(v)d", count)
        )
        return words % {"n": count, "v": number}
    if count := progress.examples:
        words = (
            ngettext("%(n)d example", "%(n)d examples", count)
            if trains
            else ngettext("%(n)d question", "%(n)d questions", count)
        )
        return words % {"n": count}
    return _("What it learns from") if trains else _("What it is tested with")


def _facts(progress: Progress) -> list[str]:
    goal, evaluation = progress.goal, progress.evaluation
    verdict = _("Is it really better?")
    if evaluation and evaluation.verdict:
        verdict = _verdict_fact(evaluation.verdict)
    elif evaluation and evaluation.job.is_active:
        verdict = _("Being tested")
    return [
        str(MeasureKind(goal.measure).label) if goal.measure else _("What it should do"),
        _dataset_fact(progress),
        progress.base_model or _("What to start from"),
        _step_4_fact(progress),
        verdict,
        _("Live") if progress.live else _("Chat, download"),
    ]
