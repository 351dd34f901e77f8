"""The progress of goals along the six steps, and what to do next."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.models import Candidate
from finetune_app.datasets.enough_examples import STEADY_EXAMPLES
from finetune_app.goals.models import Goal, Method
from finetune_app.guide.newest_results import NewestEvaluation, NewestTraining
from finetune_app.guide.step_results import StepResults
from finetune_app.guide.steps import DOCUMENTS, INSTRUCTIONS, step_name
from finetune_app.jobs.models import State
from finetune_app.knowledge.models import Knowledge
from finetune_app.monitoring import retraining
from finetune_app.versions.models import Version

# With an answer; then freezing is next, even if rows are still waiting.
EXAMPLES_TO_FREEZE = STEADY_EXAMPLES


@dataclass
class Progress:
    """The results of the six steps of a goal; None where a step has none yet."""

    goal: Goal
    results: StepResults

    @property
    def examples(self) -> int:
        """Approved or begun."""
        return self.results.examples[self.goal.pk].begun

    @property
    def to_answer(self) -> int:
        """Rows that still wait for a person's answer."""
        return self.results.examples[self.goal.pk].waiting

    @property
    def version(self) -> Version | None:
        return self.results.versions.get(self.goal.pk)

    @property
    def base_model(self) -> str | None:
        """The name of the chosen one."""
        return self.results.base_models.get(self.goal.pk)

    @property
    def instructions(self) -> Candidate | None:
        """The newest that a person kept."""
        return self.results.instructions.get(self.goal.pk)

    @property
    def knowledge(self) -> Knowledge | None:
        return self.results.knowledge.get(self.goal.pk)

    @property
    def documents(self) -> int:
        return getattr(self.knowledge, "document_count", 0)

    @property
    def searchable(self) -> bool:
        return bool(self.knowledge and self.knowledge.index)

    @property
    def training(self) -> NewestTraining | None:
        """The newest."""
        return self.results.trainings.get(self.goal.pk)

    @property
    def trained(self) -> NewestTraining | None:
        """The newest with an adapter."""
        return self.results.trained.get(self.goal.pk)

    @property
    def evaluation(self) -> NewestEvaluation | None:
        """The newest."""
        return self.results.evaluations.get(self.goal.pk)

    @property
    def live(self) -> bool:
        return self.goal.pk in self.results.live

    @property
    def new_examples(self) -> retraining.NewExamples | None:
        """Examples that no version has yet; only of a live goal."""
        return self.results.new_examples.get(self.version.dataset_id) if self.version else None

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


@dataclass(frozen=True)
class NextAction:
    """The next action. `state` is the goal's line on the home page, `label` its link text."""

    step: int
    state: str
    label: str
    url: str


def progress_of(goals: Iterable[Goal]) -> list[Progress]:
    """In the order given."""
    goals = list(goals)
    results = StepResults(goals)
    return [Progress(goal, results) for goal in goals]


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
    if not progress.base_model:
        state = _frozen(progress.version, trains=goal.trains)
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


def _frozen(version: Version, *, trains: bool) -> str:
    """How much the newest version holds."""
    count = sum(version.counts.values())
    words = (
        ngettext(
            "%(n)d example frozen as version %(v)d.",
            "%(n)d examples frozen as version %(v)d.",
            count,
        )
        if trains
        else ngettext(
            "%(n)d question frozen as version %(v)d.",
            "%(n)d questions frozen as version %(v)d.",
            count,
        )
    )
    return words % {"n": count, "v": version.number}


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
        state = _("Ready to write instructions for %(model)s.") % {"model": progress.base_model}
        return NextAction(4, state, _("Write them"), INSTRUCTIONS.url(progress.goal))
    ago = _ago(progress.instructions.created_at)
    return NextAction(
        5, _("Instructions saved %(ago)s. Not tested yet.") % {"ago": ago}, _("Evaluate"), test
    )


def _ago(moment: datetime) -> str:
    if timezone.now() - moment < timedelta(minutes=1):
        return _("a moment ago")
    return _("%(time)s ago") % {"time": timesince(moment, depth=1)}


def _is_about_newest(evaluation: NewestEvaluation, progress: Progress) -> bool:
    """Whether the evaluation covers the newest training, instructions or index of the goal."""
    method = Method(progress.goal.method)
    if method.trains:
        training = progress.training
        return training is None or evaluation.training_id == training.pk
    made = progress.knowledge.indexed_at if method.searches and progress.knowledge else None
    if method == Method.PROMPT and progress.instructions:
        made = progress.instructions.created_at
    return made is None or made <= evaluation.created_at


def _trained(progress: Progress, here: dict[str, int]) -> NextAction:
    training = progress.training
    url = reverse("training:page", kwargs=here)
    if training is None:
        state = _("Ready to train %(model)s.") % {"model": progress.base_model}
        return NextAction(4, state, _("Train"), url)
    job = training.job
    if job.is_active:
        state = (
            _("Training now: step %(done)d of %(total)d.") % {"done": job.done, "total": job.total}
            if job.total
            else _("Training: getting ready.")
        )
        return NextAction(4, state, _("Watch"), url)
    if training.has_adapter:
        ago = _ago(job.ended_at or job.created_at)
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


def _evaluated(evaluation: NewestEvaluation, here: dict[str, int]) -> NextAction:
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
