"""Choosing the candidates of an evaluation, from the least effort to the most.

`candidate_options` only reads, for the page; `create_candidates` makes the candidates.
"""

from collections.abc import Collection
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.basemodels.memory_plan import FAST_TYPES
from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate, CandidateKind
from finetune_app.candidates.selection import remotely_trained
from finetune_app.core.errors import PlainError
from finetune_app.core.openvino_installation import is_quick_in_8_bits
from finetune_app.datasets.text import prompt_hash
from finetune_app.evaluation.held_out import read_questions
from finetune_app.evaluation.prompt_baseline import BaselinePrompt, build_baseline_prompt
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.jobs.worker_machines import some_have_a_card
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.providers.models import Endpoint
from finetune_app.training.models import Training
from finetune_app.training.services import newest_version
from finetune_app.versions.models import Version

# Keys of the options, also in the form; a remote model's is "endpoint-" and its id.
PROMPT, RAG, TUNED, COMBINED = "prompt", "rag", "tuned", "combined"
ENDPOINT_PREFIX, REMOTE_PREFIX = "endpoint-", "remote-"  # the latter: tuned on a platform


@dataclass(frozen=True)
class CandidateOption:
    """A candidate that may take part beside the base model. `ticked`: selected by default."""

    key: str
    label: str
    why: str
    ticked: bool = True

    @property
    def is_remote(self) -> bool:
        return self.key.startswith((ENDPOINT_PREFIX, REMOTE_PREFIX))


@dataclass(frozen=True)
class EvaluationInputs:
    """What an evaluation of a goal is based on."""

    goal: Goal
    base_model: BaseModel
    version: Version
    training: Training | None = None
    step: int | None = None  # a kept step of the training; None: its best

    @classmethod
    def for_goal(
        cls, goal: Goal, training: Training | None = None, step: int | None = None
    ) -> "EvaluationInputs":
        """With `training` (and `step`), else the newest that has an adapter, else without any.

        Raises:
            PlainError: an earlier step is missing.
        """
        training = training or newest_training(goal)
        if training:
            return cls(goal, training.base_model, training.version, training, step)
        version = newest_version(goal)
        if version is None:
            raise PlainError(
                _("Freeze a version of the dataset first: a test reads only frozen versions."),
                title=_("Nothing to test it on yet"),
            )
        choice = BaseModelChoice.objects.select_related("base_model").filter(goal=goal).first()
        if choice is None:
            raise PlainError(_("Choose a base model first."), title=_("Nothing to test yet"))
        return cls(goal, choice.base_model, version)


def newest_training(goal: Goal) -> Training | None:
    return goal.trainings.with_adapter().select_related("version", "base_model").first()


def candidate_options(inputs: EvaluationInputs) -> list[CandidateOption]:
    """What may take part beside the base in an evaluation of this goal."""
    found = all_options(inputs)
    if inputs.goal.measure == MeasureKind.CHOICE:  # a person compares two, not five
        return [one for one in found if one.key != PROMPT and not one.is_remote][-1:]
    return found


def all_options(inputs: EvaluationInputs) -> list[CandidateOption]:
    """All that can answer beside the base. A remote model is not selected by default: it costs
    money, and the prompts leave this machine."""
    documents = _documents(inputs.goal)
    found = [
        CandidateOption(
            PROMPT,
            _("With a good prompt"),
            _("The words below and a few of your examples before each question"),
        )
    ]
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
    if inputs.training:
        found.append(
            CandidateOption(
                TUNED,
                _("Tuned"),
                _("Training %(n)d, with version %(v)d of the examples")
                % {"n": inputs.training.number, "v": inputs.version.number},
            )
        )
    if documents and inputs.training:
        found.append(CandidateOption(COMBINED, _("Tuned, with your documents"), _("Both together")))
    found += [
        CandidateOption(
            f"{REMOTE_PREFIX}{one.number}",
            _("Tuned on %(account)s") % {"account": one.account.name},
            _("Training %(n)d, which answers elsewhere: your test prompts are sent to it")
            % {"n": one.number},
            ticked=False,
        )
        for one in remotely_trained(inputs.goal)
    ]
    return found + [
        CandidateOption(
            f"{ENDPOINT_PREFIX}{one.pk}",
            one.name,
            _("Answers elsewhere: your test prompts are sent to it"),
            ticked=False,
        )
        for one in _endpoints(inputs.goal)
    ]


def gains_from_8_bits(inputs: EvaluationInputs) -> bool:
    """Whether rounding the weights may make answers faster: for base models of a type that OpenVINO
    computes, on a processor that multiplies such numbers. QLoRA has a rounding of its own."""
    if inputs.training and inputs.training.is_qlora:
        return False
    of_a_fast_type = inputs.base_model.shape.get("model_type") in FAST_TYPES
    return of_a_fast_type and is_quick_in_8_bits() and not some_have_a_card()


def create_candidates(
    inputs: EvaluationInputs,
    *,
    prompt: BaselinePrompt,
    keys: Collection[str],
    in_8_bits: bool = False,
) -> list[Candidate]:
    """The base, and the candidates of the options named by `keys`. Unknown keys are ignored.

    `prompt` is for the base model with a good prompt and for remote models. All think as the
    training does, whatever is chosen with the base model since. With `in_8_bits`, those that answer
    here have their weights rounded.
    """
    goal, base, training = inputs.goal, inputs.base_model, inputs.training
    thinking = training.thinking if training else ""
    found = [
        candidates.base_candidate(
            goal=goal, base_model=base, thinking=thinking, in_8_bits=in_8_bits
        )
    ]
    if PROMPT in keys and (prompt.instructions.strip() or prompt.shots):
        found.append(
            candidates.prompt_candidate(
                goal=goal,
                base_model=base,
                instructions=prompt.instructions,
                shots=prompt.shots,
                thinking=thinking,
                in_8_bits=in_8_bits,
            )
        )
    documents = bool(_documents(goal))
    if RAG in keys and documents:
        found.append(
            candidates.rag_candidate(
                goal=goal,
                base_model=base,
                instructions=prompt.instructions,
                thinking=thinking,
                in_8_bits=in_8_bits,
            )
        )
    if TUNED in keys and training:
        found.append(
            candidates.tuned_candidate(training=training, step=inputs.step, in_8_bits=in_8_bits)
        )
    if COMBINED in keys and documents and training:
        found.append(
            candidates.rag_candidate(
                goal=goal, training=training, step=inputs.step, in_8_bits=in_8_bits
            )
        )
    for elsewhere in remotely_trained(goal):
        if f"{REMOTE_PREFIX}{elsewhere.number}" in keys:
            found.append(candidates.remotely_tuned_candidate(training=elsewhere))
    for endpoint in _endpoints(goal):
        if f"{ENDPOINT_PREFIX}{endpoint.pk}" in keys:
            found.append(
                candidates.prompt_candidate(
                    goal=goal,
                    endpoint=endpoint,
                    instructions=prompt.instructions,
                    shots=prompt.shots,
                )
            )
    return found


def default_prompt(inputs: EvaluationInputs) -> BaselinePrompt:
    """The newest saved instructions for this model, else a prompt built from the goal."""
    saved = (
        inputs.goal.candidates.filter(
            kind=CandidateKind.PROMPT, base_model=inputs.base_model, saved=True
        )
        .order_by("-pk")
        .first()
    )
    if saved:
        return BaselinePrompt(saved.instructions, saved.shots)
    return build_baseline_prompt(inputs.goal, inputs.version, inputs.base_model)


def without_test_prompts(prompt: BaselinePrompt, inputs: EvaluationInputs) -> BaselinePrompt:
    """The prompt without examples that are test prompts by now: the model would see the answer."""
    if not prompt.shots:
        return prompt
    versions = {inputs.version, newest_version(inputs.goal) or inputs.version}
    asked = {question for one in versions for question in read_questions(one).values()}
    shots = [shot for shot in prompt.shots if _question_of(shot) not in asked]
    return BaselinePrompt(prompt.instructions, shots)


def _question_of(shot: dict[str, str]) -> str:
    return prompt_hash([{"role": "user", "content": shot["prompt"]}])


def _documents(goal: Goal) -> int:
    """Number of the goal's documents that can be searched."""
    knowledge = Knowledge.objects.filter(goal=goal).first()
    if knowledge is None or not knowledge.is_searchable:
        return 0
    return knowledge.documents.filter(state=Document.State.READY).count()


def _endpoints(goal: Goal) -> list[Endpoint]:
    """The team's remote models, without those that were trained for some goal."""
    return list(goal.team.endpoints.exclude(trained_by__isnull=False))
