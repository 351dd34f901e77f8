"""Who can take part in a test: what the goal has so far, from the least to the most effort.

`offers` only reads, so that a page can show them; `take_part` makes the candidates.
"""

from collections.abc import Collection
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate, CandidateKind
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Version
from finetune_app.evaluation.prompt_baseline import BaselinePrompt, build_baseline_prompt
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.providers.models import Endpoint
from finetune_app.training.models import Training
from finetune_app.training.services import newest_version

PROMPT, RAG, TUNED, COMBINED = "prompt", "rag", "tuned", "combined"


@dataclass(frozen=True)
class CandidateOption:
    """One who may take part beside the base model. `ticked`: unless somebody says otherwise."""

    key: str
    label: str
    why: str
    ticked: bool = True


@dataclass(frozen=True)
class EvaluationInputs:
    """Everything a test of this goal is made of."""

    goal: Goal
    base_model: BaseModel
    version: Version
    training: Training | None = None

    @classmethod
    def for_goal(cls, goal: Goal, training: Training | None = None) -> "EvaluationInputs":
        """With `training`, else the newest that has an adapter, else without any.

        Raise PlainError when a step before this one is missing.
        """
        training = training or newest_training(goal)
        if training:
            return cls(goal, training.base_model, training.version, training)
        version = newest_version(goal)
        if version is None:
            raise PlainError(
                _("Freeze a version of the dataset first; a test reads only that."),
                title=_("Nothing to test it on yet"),
            )
        choice = BaseModelChoice.objects.select_related("base_model").filter(goal=goal).first()
        if choice is None:
            raise PlainError(_("Choose a base model first."), title=_("Nobody to test yet"))
        return cls(goal, choice.base_model, version)


def newest_training(goal: Goal) -> Training | None:
    return goal.trainings.exclude(adapter_sha256="").select_related("version", "base_model").first()


def candidate_options(basis: EvaluationInputs) -> list[CandidateOption]:
    """All who may take part, the base apart. A model elsewhere is only asked when ticked: it
    costs, and the prompts leave this machine."""
    documents = _documents(basis.goal)
    found = []
    if basis.goal.measure != MeasureKind.CHOICE:
        found.append(
            CandidateOption(
                PROMPT,
                _("With a good prompt"),
                _("The words below and a few of your examples before each question"),
            )
        )
    if documents:
        found.append(
            CandidateOption(
                RAG,
                _("With your documents"),
                ngettext(
                    "It looks each question up in %(n)d document",
                    "It looks each question up in %(n)d documents",
                    documents,
                )
                % {"n": documents},
            )
        )
    if basis.training:
        found.append(
            CandidateOption(
                TUNED,
                _("Tuned"),
                _("Training %(n)d, taught with version %(v)d")
                % {"n": basis.training.number, "v": basis.version.number},
            )
        )
    if documents and basis.training:
        found.append(CandidateOption(COMBINED, _("Tuned, with your documents"), _("Both together")))
    if basis.goal.measure == MeasureKind.CHOICE:
        return found[-1:]  # a person compares two, not five
    return found + [
        CandidateOption(
            f"endpoint-{one.pk}",
            one.name,
            _("Answers elsewhere: your test prompts are sent to it"),
            ticked=False,
        )
        for one in _endpoints(basis.goal)
    ]


def create_candidates(
    basis: EvaluationInputs, *, prompt: BaselinePrompt, keys: Collection[str]
) -> list[Candidate]:
    """The candidates of a test: the base, and those of the offers whose keys are named. `prompt`
    is what the rival with a good prompt, and a model elsewhere, are told. What the goal does not
    have is passed over."""
    goal, base = basis.goal, basis.base_model
    found = [candidates.base_candidate(goal=goal, base_model=base)]
    if PROMPT in keys and (prompt.instructions.strip() or prompt.shots):
        found.append(
            candidates.prompt_candidate(
                goal=goal, base_model=base, instructions=prompt.instructions, shots=prompt.shots
            )
        )
    documents = bool(_documents(goal))
    if RAG in keys and documents:
        found.append(
            candidates.rag_candidate(goal=goal, base_model=base, instructions=prompt.instructions)
        )
    if TUNED in keys and basis.training:
        found.append(candidates.tuned_candidate(training=basis.training))
    if COMBINED in keys and documents and basis.training:
        found.append(candidates.rag_candidate(goal=goal, training=basis.training))
    for endpoint in _endpoints(goal):
        if f"endpoint-{endpoint.pk}" in keys:
            found.append(
                candidates.prompt_candidate(
                    goal=goal,
                    endpoint=endpoint,
                    instructions=prompt.instructions,
                    shots=prompt.shots,
                )
            )
    return found


def default_prompt(basis: EvaluationInputs) -> BaselinePrompt:
    """The newest instructions that somebody kept for this model, else the best we can write."""
    kept = (
        basis.goal.candidates.filter(
            kind=CandidateKind.PROMPT, base_model=basis.base_model, saved=True
        )
        .order_by("-pk")
        .first()
    )
    if kept:
        return BaselinePrompt(kept.instructions, kept.shots)
    return build_baseline_prompt(basis.goal, basis.version, basis.base_model)


def _documents(goal: Goal) -> int:
    """How many of the goal's documents can be searched."""
    knowledge = Knowledge.objects.filter(goal=goal).first()
    if knowledge is None or not knowledge.is_searchable:
        return 0
    return knowledge.documents.filter(state=Document.State.READY).count()


def _endpoints(goal: Goal) -> list[Endpoint]:
    return list(goal.team.endpoints.all())
