"""How far each goal is along the six steps, in six queries however many goals there are."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeVar

from django.db.models import Count, Model, QuerySet
from django.urls import reverse
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from finetune_app.basemodels.models import Choice
from finetune_app.datasets.models import Example, Status, Version
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import State
from finetune_app.training.models import Training

Row = TypeVar("Row", bound=Model)

STEP_NAMES = [
    gettext_lazy("Goal"), gettext_lazy("Dataset"), gettext_lazy("Base model"),
    gettext_lazy("Training"), gettext_lazy("Evaluation"), gettext_lazy("Deployment"),
]


@dataclass
class Progress:
    """What the steps of one goal have produced so far; None where nothing yet."""

    goal: Goal
    examples: int = 0
    version: Version | None = None
    choice: Choice | None = None
    training: Training | None = None  # the newest
    trained: Training | None = None  # the newest with an adapter
    evaluation: Evaluation | None = None  # the newest
    next: "NextAction" = field(init=False)

    def __post_init__(self) -> None:
        self.next = next_action(self)

    @property
    def at(self) -> int:
        """The step to work on now, 1 to 6."""
        return self.next.step

    @property
    def done(self) -> int:
        """How many steps are behind us."""
        return self.at - 1

    @property
    def step_name(self) -> str:
        return str(STEP_NAMES[self.at - 1])


@dataclass(frozen=True)
class NextAction:
    """`state` is the goal's one line on the home page; `label` the verb of its link."""

    step: int
    state: str
    label: str
    url: str


def of(goals: Iterable[Goal]) -> list[Progress]:
    """The progress of each goal, in the order given."""
    goals = list(goals)
    ids = [goal.pk for goal in goals]
    examples = dict(
        Example.objects.kept()
        .exclude(status=Status.SET_ASIDE)
        .filter(dataset__goal__in=ids)
        .order_by()
        .values_list("dataset__goal")
        .annotate(Count("pk"))
    )
    versions = _newest(
        Version.objects.filter(dataset__goal__in=ids).select_related("dataset"), "dataset.goal_id"
    )
    choices = {
        choice.goal_id: choice
        for choice in Choice.objects.filter(goal__in=ids).select_related("base_model")
    }
    trainings = (
        Training.objects.filter(goal__in=ids)
        .exclude(job__state=State.CANCELLED)
        .select_related("job", "version")
    )
    newest = _newest(trainings)
    trained = _newest(trainings.exclude(adapter_sha256=""))
    evaluations = _newest(
        Evaluation.objects.filter(goal__in=ids)
        .exclude(job__state=State.CANCELLED)
        .select_related("job", "ours")
        .defer("general")  # all everyday answers, which nobody needs here
    )
    return [
        Progress(
            goal=goal, examples=examples.get(goal.pk, 0), version=versions.get(goal.pk),
            choice=choices.get(goal.pk), training=newest.get(goal.pk),
            trained=trained.get(goal.pk), evaluation=evaluations.get(goal.pk),
        )
        for goal in goals
    ]


def _newest(rows: QuerySet[Row], path: str = "goal_id") -> dict[int, Row]:
    """The row with the highest pk of each goal; `path` leads from a row to its goal's pk."""
    goal_of = attrgetter(path)
    return {goal_of(row): row for row in rows.order_by("pk")}


def next_action(progress: Progress) -> NextAction:
    """The one thing to do next for this goal, and its state in a line."""
    goal = progress.goal
    here = {"goal_id": goal.pk}
    if not goal.measure:
        return NextAction(1, _("Not decided yet how to tell a right answer."), _("Decide"),
                          reverse("goals:measure", kwargs=here))
    if not progress.examples:
        return NextAction(2, _("No examples yet."), _("Add examples"),
                          reverse("datasets:page", kwargs=here))
    if not progress.version:
        state = ngettext("%(n)d example, not frozen yet.", "%(n)d examples, not frozen yet.",
                         progress.examples) % {"n": progress.examples}
        return NextAction(2, state, _("Check them"), reverse("datasets:page", kwargs=here))
    if not progress.choice:
        state = _("%(n)d examples frozen as version %(v)d.") % {
            "n": sum(progress.version.counts.values()), "v": progress.version.number}
        return NextAction(3, state, _("Choose a model"), reverse("basemodels:page", kwargs=here))
    if progress.evaluation and _is_about_newest(progress.evaluation, progress.training):
        return _evaluated(progress.evaluation, here)
    return _trained(progress, here)


def _is_about_newest(evaluation: Evaluation, training: Training | None) -> bool:
    """A verdict on an earlier training is not news once another one is under way or done."""
    return training is None or evaluation.ours.training_id == training.pk


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
            if job.total else _("Training: getting ready.")
        )
        return NextAction(4, state, _("Watch"), url)
    if training.adapter_sha256:
        ago = timesince(job.ended_at, depth=1) if job.ended_at else ""
        return NextAction(5, _("Trained %(ago)s ago. Not tested yet.") % {"ago": ago},
                          _("Evaluate"), reverse("evaluation:page", kwargs=here))
    if job.state == State.FAILED:
        return NextAction(4, _("The training stopped: %(why)s") % {"why": job.message},
                          _("See why"), url)
    return NextAction(4, _("Training stopped at step %(done)d.") % {"done": job.done},
                      _("Continue"), url)


def _evaluated(evaluation: Evaluation, here: dict[str, int]) -> NextAction:
    url = reverse("evaluation:detail", kwargs=here | {"evaluation_id": evaluation.pk})
    if evaluation.job.is_active:
        return NextAction(5, _("Being tested on unseen prompts."), _("Watch"), url)
    if evaluation.job.state == State.STOPPED:
        return NextAction(5, _("The test was stopped."), _("Continue"), url)
    if evaluation.job.state == State.FAILED:
        why = {"why": evaluation.job.message}
        return NextAction(5, _("The test could not go on: %(why)s") % why, _("See why"), url)
    verdict = evaluation.verdict
    if not verdict:
        return NextAction(5, _("Waiting for your blind choice."), _("Choose"), url)
    state = _("%(headline)s Better on %(wins)d of %(all)d, worse on %(losses)d.") % {
        "headline": verdict["headline"], "wins": verdict["wins"], "losses": verdict["losses"],
        "all": verdict["wins"] + verdict["ties"] + verdict["losses"]}
    return NextAction(5, state, _("See the verdict"), url)
