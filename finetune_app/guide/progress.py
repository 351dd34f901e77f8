"""The progress of goals along the six steps, in ten queries for any number of goals."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import Count, F, Max, Model, Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.candidates.models import Candidate
from finetune_app.datasets import status_counts
from finetune_app.datasets.enough_examples import STEADY_EXAMPLES
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals.models import Goal, Method
from finetune_app.guide.steps import DOCUMENTS, INSTRUCTIONS, step_name
from finetune_app.jobs.models import State
from finetune_app.knowledge.models import Knowledge
from finetune_app.monitoring import retraining
from finetune_app.training.models import Training
from finetune_app.versions.models import Version

ModelT = TypeVar("ModelT", bound=Model)
# With an answer; then freezing is next, even if rows are still waiting.
EXAMPLES_TO_FREEZE = STEADY_EXAMPLES


@dataclass
class Progress:
    """The results of the six steps of a goal; None where a step has none yet."""

    goal: Goal
    examples: int = 0  # approved or begun
    to_answer: int = 0  # rows that still wait for a person's answer
    version: Version | None = None
    choice: BaseModelChoice | None = None
    instructions: Candidate | None = None  # the newest that a person kept
    knowledge: Knowledge | None = None
    documents: int = 0
    training: Training | None = None  # the newest
    trained: Training | None = None  # the newest with an adapter
    evaluation: Evaluation | None = None  # the newest
    live: bool = False
    # Examples that no version has yet; only for a live goal.
    new_examples: retraining.NewExamples | None = None

    @cached_property
    def next(self) -> "NextAction":
        return next_action(self)

    @property
    def at(self) -> int:
        """The step to work on now, 1 to 6."""
        return self.next.step

    @property
    def done(self) -> int:
        """The number of finished steps."""
        return self.at - 1

    @property
    def step_name(self) -> str:
        return step_name(self.goal, self.at)

    @property
    def searchable(self) -> bool:
        return bool(self.knowledge and self.knowledge.index)


@dataclass(frozen=True)
class NextAction:
    """The next action. `state` is the goal's line on the home page, `label` its link text."""

    step: int
    state: str
    label: str
    url: str


def progress_of(goals: Iterable[Goal], *, count_new_examples: bool = True) -> list[Progress]:
    """Return the progress of each goal, in the order given. Without the new examples, which only
    the next action needs, it is one query less."""
    goals = list(goals)
    ids = [goal.pk for goal in goals]
    counts = status_counts.begun_and_waiting(ids)
    versions = _by_goal(_newest_versions(ids), "of_goal")
    choices = _by_goal(BaseModelChoice.objects.filter(goal__in=ids).select_related("base_model"))
    kept = Candidate.objects.versions().filter(goal__in=ids)
    instructions = _by_goal(kept.filter(_newest(kept)).only("goal_id", "created_at"))
    knowledge = _by_goal(
        Knowledge.objects.filter(goal__in=ids)
        .select_related("job")
        .annotate(document_count=Count("documents"))
    )
    trainings = _newest_trainings(ids)
    trained = [one for one in trainings if one.adapter_sha256]
    evaluations = _by_goal(_newest_evaluations(ids))
    live = retraining.live_among(ids)
    new_examples = retraining.new_examples_since(
        [one for goal_id, one in versions.items() if goal_id in live] if count_new_examples else []
    )
    return [
        Progress(
            goal=goal,
            live=goal.pk in live,
            new_examples=_of_version(new_examples, versions.get(goal.pk)),
            examples=counts[goal.pk].begun,
            to_answer=counts[goal.pk].waiting,
            version=versions.get(goal.pk),
            choice=choices.get(goal.pk),
            instructions=instructions.get(goal.pk),
            knowledge=knowledge.get(goal.pk),
            documents=knowledge[goal.pk].document_count if goal.pk in knowledge else 0,
            training=_by_goal(trainings).get(goal.pk),
            trained=_by_goal(trained).get(goal.pk),
            evaluation=evaluations.get(goal.pk),
        )
        for goal in goals
    ]


def _of_version(
    new_examples: dict[int, retraining.NewExamples], version: Version | None
) -> retraining.NewExamples | None:
    return new_examples.get(version.dataset_id) if version else None


def _newest_versions(ids: list[int]) -> QuerySet[Version]:
    rows = Version.objects.filter(dataset__goal__in=ids)
    return rows.filter(_newest(rows, "dataset")).annotate(of_goal=F("dataset__goal"))


def _newest_trainings(ids: list[int]) -> list[Training]:
    """The newest of each goal and the newest that has an adapter, oldest first."""
    rows = Training.objects.filter(goal__in=ids).exclude(job__state=State.CANCELLED)
    some = rows.filter(_newest(rows) | _newest(rows.with_adapter()))
    return list(
        some.select_related("job", "version")
        .defer("spec", "warnings", "job__spec", "job__result", "job__detail")
        .order_by("pk")
    )


def _newest_evaluations(ids: list[int]) -> QuerySet[Evaluation]:
    rows = Evaluation.objects.filter(goal__in=ids).exclude(job__state=State.CANCELLED)
    return (
        rows.filter(_newest(rows))
        .select_related("job", "ours")
        .defer("general", "refusals", "recall", "job__spec", "job__result", "job__detail")
    )


def _newest(rows: QuerySet[ModelT], group: str = "goal") -> Q:
    """The condition that a row is the newest of its group."""
    newest = rows.order_by().values(group).annotate(newest=Max("pk")).values("newest")
    return Q(pk__in=newest)


def _by_goal(rows: Iterable[ModelT], attribute: str = "goal_id") -> dict[int, ModelT]:
    """By the goal's pk; the last row of a goal wins."""
    return {getattr(row, attribute): row for row in rows}


def next_action(progress: Progress) -> NextAction:
    """The next action of a goal, and its state in one line."""
    goal = progress.goal
    here = {"goal_id": goal.pk}
    if not goal.measure:
        return NextAction(
            1,
            _("Not decided yet how to tell a right answer."),
            _("Decide"),
            reverse("goals:measure", kwargs=here),
        )
    if not progress.version:
        return _to_freeze(progress, here)
    if goal.trains and not progress.version.counts.get("train"):
        state = _("Version %(v)d holds only questions to test with.") % {
            "v": progress.version.number
        }
        return NextAction(2, state, _("Add examples"), reverse("datasets:page", kwargs=here))
    if not progress.choice:
        state = _("%(n)d examples frozen as version %(v)d.") % {
            "n": sum(progress.version.counts.values()),
            "v": progress.version.number,
        }
        return NextAction(3, state, _("Choose a model"), reverse("basemodels:page", kwargs=here))
    if progress.evaluation and _is_about_newest(progress.evaluation, progress):
        if progress.live and progress.evaluation.verdict:
            return _in_use(progress, here) or _evaluated(progress.evaluation, here)
        return _evaluated(progress.evaluation, here)
    method = Method(goal.method)
    if method.searches and not progress.searchable:
        return _to_read(progress)
    if method.trains:
        return _trained(progress, here)
    return _made(progress, here)


def _to_freeze(progress: Progress, here: dict[str, int]) -> NextAction:
    """Step 2: add or freeze examples, or questions to test with."""
    url = reverse("datasets:page", kwargs=here)
    if Method(progress.goal.method).trains:
        none, some, verb = (
            _("No examples yet."),
            ngettext(
                "%(n)d example, not frozen yet.",
                "%(n)d examples, not frozen yet.",
                progress.examples,
            ),
            _("Add examples"),
        )
    else:
        none, some, verb = (
            _("No test questions yet."),
            ngettext(
                "%(n)d question, not frozen yet.",
                "%(n)d questions, not frozen yet.",
                progress.examples,
            ),
            _("Write questions"),
        )
    if progress.to_answer and progress.examples < EXAMPLES_TO_FREEZE:
        return _to_answer(progress, here)
    if not progress.examples:
        return NextAction(2, none, verb, url)
    return NextAction(2, some % {"n": progress.examples}, _("Check them"), url)


def _to_answer(progress: Progress, here: dict[str, int]) -> NextAction:
    """Step 2, while rows wait for an answer and too few have one."""
    left = progress.to_answer
    shown = {"n": f"{left:,}", "done": f"{progress.examples:,}"}
    state = (
        ngettext(
            "%(n)s row waits for an answer, %(done)s are done.",
            "%(n)s rows wait for an answer, %(done)s are done.",
            left,
        )
        % shown
    )
    verb = ngettext("Label %(n)s row", "Label %(n)s rows", left) % shown
    return NextAction(2, state, verb, reverse("labelling:start", kwargs=here))


def _to_read(progress: Progress) -> NextAction:
    """Step 4, while nothing can be searched yet."""
    knowledge, url = progress.knowledge, DOCUMENTS.url(progress.goal)
    if knowledge is None or not progress.documents:
        return NextAction(4, _("No documents yet."), _("Add documents"), url)
    if knowledge.job and knowledge.job.is_active:
        return NextAction(4, _("Your documents are being read."), _("Watch"), url)
    return NextAction(4, _("Your documents cannot be searched yet."), _("See why"), url)


def _made(progress: Progress, here: dict[str, int]) -> NextAction:
    """Step 4 without training, then the evaluation."""
    test = reverse("evaluation:page", kwargs=here)
    if progress.goal.method == Method.RAG:
        return NextAction(
            5, _("Your documents can be searched. Not tested yet."), _("Evaluate"), test
        )
    if progress.instructions is None:
        assert progress.choice is not None
        state = _("Ready to write instructions for %(model)s.") % {
            "model": progress.choice.base_model.name
        }
        return NextAction(4, state, _("Write them"), INSTRUCTIONS.url(progress.goal))
    ago = _ago(progress.instructions.created_at)
    return NextAction(
        5, _("Instructions saved %(ago)s. Not tested yet.") % {"ago": ago}, _("Evaluate"), test
    )


def _ago(moment: datetime) -> str:
    if timezone.now() - moment < timedelta(minutes=1):
        return _("a moment ago")
    return _("%(time)s ago") % {"time": timesince(moment, depth=1)}


def _is_about_newest(evaluation: Evaluation, progress: Progress) -> bool:
    """Whether the evaluation covers the newest training, instructions or index of the goal."""
    method = Method(progress.goal.method)
    if method.trains:
        training = progress.training
        return training is None or evaluation.ours.training_id == training.pk
    made = progress.knowledge.indexed_at if method.searches and progress.knowledge else None
    if method == Method.PROMPT and progress.instructions:
        made = progress.instructions.created_at
    return made is None or made <= evaluation.created_at


def _trained(progress: Progress, here: dict[str, int]) -> NextAction:
    training = progress.training
    url = reverse("training:page", kwargs=here)
    if training is None:
        assert progress.choice is not None
        state = _("Ready to train %(model)s.") % {"model": progress.choice.base_model.name}
        return NextAction(4, state, _("Train"), url)
    job = training.job
    if job.is_active:
        state = (
            _("Training now: step %(done)d of %(total)d.") % {"done": job.done, "total": job.total}
            if job.total
            else _("Training: getting ready.")
        )
        return NextAction(4, state, _("Watch"), url)
    if training.adapter_sha256:
        ago = _ago(job.ended_at or training.created_at)
        return NextAction(
            5,
            _("Trained %(ago)s. Not tested yet.") % {"ago": ago},
            _("Evaluate"),
            reverse("evaluation:page", kwargs=here),
        )
    if job.state == State.FAILED:
        return NextAction(
            4, _("The training stopped: %(why)s") % {"why": job.message}, _("See why"), url
        )
    return NextAction(
        4, _("Training stopped at step %(done)d.") % {"done": job.done}, _("Continue"), url
    )


def _in_use(progress: Progress, here: dict[str, int]) -> NextAction | None:
    """A live goal: enough new examples to train again, or rows that wait for an answer."""
    url = reverse("datasets:page", kwargs=here)
    if progress.new_examples and progress.new_examples.enough:
        verb = _("Train again") if Method(progress.goal.method).trains else _("Freeze them")
        return NextAction(
            2, _("Live. %(new)s") % {"new": progress.new_examples.sentence}, verb, url
        )
    return _to_answer(progress, here) if progress.to_answer else None


def _evaluated(evaluation: Evaluation, here: dict[str, int]) -> NextAction:
    url = reverse("evaluation:detail", kwargs=here | {"evaluation_id": evaluation.pk})
    if evaluation.job.is_active:
        return NextAction(5, _("Being tested on unseen prompts."), _("Watch"), url)
    if evaluation.job.state == State.STOPPED:
        return NextAction(5, _("The test was stopped."), _("Continue"), url)
    if evaluation.job.state == State.FAILED:
        why = {"why": evaluation.job.message}
        return NextAction(5, _("The test could not continue: %(why)s") % why, _("See why"), url)
    verdict = evaluation.verdict
    if not verdict:
        return NextAction(5, _("Waiting for your blind choice."), _("Choose"), url)
    state = _(
        "%(headline)s Against the base model better on %(wins)d of %(all)d, worse on %(losses)d."
    ) % {
        "headline": verdict["headline"],
        "wins": verdict["wins"],
        "losses": verdict["losses"],
        "all": verdict["wins"] + verdict["ties"] + verdict["losses"],
    }
    return NextAction(5, state, _("See the verdict"), url)
