"""Creates candidates. An identical one is reused; a frozen one is never changed."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.basemodels.models import BaseModel, thinking_of
from finetune_app.candidates.models import Candidate, CandidateKind
from finetune_app.candidates.prompt_builder import PromptTemplate
from finetune_app.candidates.retrieval import context_length_of, retrieval_of
from finetune_app.candidates.specs import (
    CandidateSampling,
    CandidateSpec,
    ModelFolders,
    PromptSpec,
)
from finetune_app.core.engine_protocol import INT8, NF4, Sampling
from finetune_app.core.errors import PlainError
from finetune_app.core.files import engine_folder, local_folder, sha256_of
from finetune_app.core.thinking import THOUGHT_TOKENS
from finetune_app.goals.models import Goal
from finetune_app.knowledge.models import Knowledge
from finetune_app.knowledge.passage_counts import passage_count_for
from finetune_app.providers.client import RemoteError, TargetSpec, target_of
from finetune_app.providers.models import Endpoint
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.training.kept_steps import adapter_sha256_of, name_of_step
from finetune_app.training.models import Training

# What makes a local candidate the same as another one of its kind, but for the number format.
PARTS = (
    "base_model",
    "training",
    "adapter_sha256",
    "step",
    "instructions",
    "shots",
    "knowledge",
    "knowledge_index",
    "passages",
    "sampling",
    "thinking",
)


def base_candidate(
    *, goal: Goal, base_model: BaseModel, thinking: str = "", in_8_bits: bool = False
) -> Candidate:
    """The base model without a prompt.

    thinking: here and below, other than what is chosen with the base model today.
    in_8_bits: here and below, with its weights rounded to 8 bits, wherever it answers.
    """
    return _same_or_new(
        goal,
        CandidateKind.BASE,
        name=base_model.name,
        base_model=base_model,
        thinking=thinking,
        in_8_bits=in_8_bits,
    )


def tuned_candidate(
    *, training: Training, step: int | None = None, in_8_bits: bool = False
) -> Candidate:
    """What this training made of its base model, pinned by its hash.

    step: a kept step instead of the best one. Raises PlainError when it is not kept.
    """
    return _same_or_new(
        training.goal,
        CandidateKind.TUNED,
        name=_("Tuned, %(training)s") % {"training": name_of_step(training, step)},
        base_model=training.base_model,
        in_8_bits=in_8_bits,
        **_adapter(training, step),
    )


def remotely_tuned_candidate(*, training: RemoteTraining) -> Candidate:
    """What a training on a platform made, asked as it is. Raises PlainError before it is done."""
    if training.endpoint is None:
        raise PlainError(_("This training has made no model yet, or it was deleted."))
    return _same_or_new(
        training.goal,
        CandidateKind.TUNED,
        name=_("Tuned on %(account)s, training %(n)d")
        % {"account": training.account.name[:40], "n": training.number},
        endpoint=training.endpoint,
    )


def prompt_candidate(
    *,
    goal: Goal,
    instructions: str,
    shots: list[dict[str, str]],
    base_model: BaseModel | None = None,
    endpoint: Endpoint | None = None,
    thinking: str = "",
    in_8_bits: bool = False,
) -> Candidate:
    """A local or remote model with instructions and few-shot examples."""
    return _same_or_new(
        goal,
        CandidateKind.PROMPT,
        name=endpoint.name if endpoint else _("With a good prompt"),
        base_model=base_model,
        endpoint=endpoint,
        instructions=instructions.strip(),
        shots=shots,
        sampling={},
        thinking=thinking,
        in_8_bits=in_8_bits,
    )


def save_version(
    *,
    goal: Goal,
    base_model: BaseModel | None,
    endpoint: Endpoint | None,
    instructions: str,
    shots: list[dict[str, str]],
    sampling: CandidateSampling,
) -> Candidate:
    """A prompt candidate that a user saves as a version."""
    new_name = _("Instructions")
    candidate = _same_or_new(
        goal,
        CandidateKind.PROMPT,
        name=new_name,
        base_model=base_model,
        endpoint=endpoint,
        instructions=instructions.strip(),
        shots=shots,
        sampling=sampling,
    )
    if not candidate.saved:
        candidate.saved = True
        if candidate.name == new_name:  # the name of an older one is known from evaluations
            candidate.name = _("Instructions %(n)d") % {"n": candidate.revision}
        candidate.save(update_fields=["saved", "name"])
    return candidate


def remove_from_versions(*, candidate: Candidate) -> None:
    """Remove it from the saved versions. The row stays, since evaluations may refer to it."""
    Candidate.objects.filter(pk=candidate.pk).update(saved=False)


def rag_candidate(
    *,
    goal: Goal,
    base_model: BaseModel | None = None,
    endpoint: Endpoint | None = None,
    instructions: str = "",
    shots: Sequence[dict[str, str]] = (),
    training: Training | None = None,
    step: int | None = None,
    count: int | None = None,
    sampling: CandidateSampling | None = None,
    thinking: str = "",
    in_8_bits: bool = False,
) -> Candidate:
    """A model that answers from the goal's documents; with a training, the tuned model, of a kept
    `step` or the best one.

    Pins the current index and the number of passages per question, by default chosen by the size
    of the model. Raises PlainError when there are no documents that can be searched.
    """
    knowledge = Knowledge.objects.filter(goal=goal).first()
    if knowledge is None or not knowledge.is_searchable:
        raise PlainError(_("There are no documents yet that can be searched. Add some first."))
    kind = CandidateKind.COMBINED if training else CandidateKind.RAG
    if training:
        base_model, endpoint = training.base_model, None
    if count is None:
        count = passage_count_for(base_model.parameters if base_model else 0)
    return _same_or_new(
        goal,
        kind,
        name=str(kind.label),
        base_model=base_model,
        endpoint=endpoint,
        instructions=instructions.strip(),
        shots=[*shots],
        knowledge=knowledge,
        knowledge_index=knowledge.index,
        passages=count,
        sampling=sampling or {},
        thinking=thinking,
        in_8_bits=in_8_bits,
        **_adapter(training, step),
    )


def with_current_documents(candidate: Candidate) -> Candidate:
    """The candidate itself, or a new revision when the documents have changed.

    Raises PlainError when there are no documents any more.
    """
    knowledge = candidate.knowledge
    if knowledge is None or knowledge.index == candidate.knowledge_index:
        return candidate
    return rag_candidate(
        goal=candidate.goal,
        base_model=candidate.base_model,
        endpoint=candidate.endpoint,
        instructions=candidate.instructions,
        shots=candidate.shots,
        training=candidate.training,
        step=candidate.step,
        count=candidate.passages,
        sampling=candidate.sampling,
        thinking=candidate.thinking,
        in_8_bits=candidate.in_8_bits,
    )


def last_test_was_in_8_bits(goal: Goal, base_model: BaseModel) -> bool:
    """Whether the newest test of this base model that somebody started was in 8 bits."""
    tests = goal.evaluations.succeeded().without_rechecks().filter(base__base_model=base_model)
    return tests.values_list("number_format", flat=True).first() == INT8


def as_tested(candidate: Candidate) -> Candidate:
    """The candidate, or the same one in the number format in which it was last tested: what is
    served is what was tested. The rechecks of what is live say nothing about what comes next."""
    parts = {name: getattr(candidate, name) for name in PARTS}
    alike = candidate.goal.candidates.filter(kind=candidate.kind, base_model__isnull=False, **parts)
    if len(alike) < 2:
        return candidate
    tests = candidate.goal.evaluations.succeeded().without_rechecks()
    newest = {one: tests.with_candidate(one).values_list("pk", flat=True).first() for one in alike}
    tested = [one for one, test in newest.items() if test]
    return max(tested, key=lambda one: newest[one] or 0, default=candidate)


def _adapter(training: Training | None, step: int | None) -> dict[str, Any]:
    """The columns that pin an adapter, and the number format where it was learned in one."""
    sha256 = adapter_sha256_of(training, step) if training else ""
    pinned = {"training": training, "adapter_sha256": sha256, "step": step}
    return pinned | ({"number_format": NF4} if training and training.is_qlora else {})


def _same_or_new(
    goal: Goal,
    kind: CandidateKind,
    *,
    name: str,
    thinking: str = "",
    in_8_bits: bool = False,
    **pinned: Any,
) -> Candidate:
    """Candidates are the same if all `pinned` fields are equal, how they think, and whether they
    are in 8 bits; the name is not compared. What was trained thinks as it was trained to, and what
    QLoRA trained stays in 4 bits."""
    training: Training | None = pinned.get("training")
    thinking = training.thinking if training else thinking
    pinned["thinking"] = thinking or thinking_of(goal, pinned.get("base_model"))
    if in_8_bits and pinned.get("base_model"):
        pinned.setdefault("number_format", INT8)
    same = Candidate.objects.filter(goal=goal, kind=kind, **pinned).order_by("-pk")
    if pinned.get("number_format") != INT8:  # one that was tested has a format as well
        same = same.exclude(number_format=INT8)
    if found := same.first():
        return found
    with transaction.atomic():
        Goal.objects.lock(goal.pk)  # a second click may have created it just now
        return same.first() or _new(goal, kind, name, pinned)


def _new(goal: Goal, kind: CandidateKind, name: str, pinned: dict[str, Any]) -> Candidate:
    alike = pinned | {"goal": goal, "kind": kind}
    alike.pop("number_format", None)
    if twin := Candidate.objects.filter(**alike).first():  # in the other number format
        name = twin.name
    last = Candidate.objects.filter(goal=goal, kind=kind).aggregate(Max("revision"))
    revision = (last["revision__max"] or 0) + 1
    return Candidate.objects.create(
        goal=goal, kind=kind, name=name[:100], revision=revision, **pinned
    )


def freeze(candidates: QuerySet[Candidate], *, number_format: str) -> None:
    """Make candidates immutable, with the number format in which they were evaluated."""
    candidates.filter(frozen_at=None).update(frozen_at=timezone.now(), number_format=number_format)


def require_adapter(candidate: Candidate) -> None:
    """Raises PlainError when the weights' file is missing or not the one that was trained."""
    if not candidate.training:
        return
    folder = local_folder(candidate.adapter_folder)
    try:
        found = sha256_of(folder / candidate.training.weights_file)
    except OSError:
        found = ""
    if found != candidate.adapter_sha256:
        raise PlainError(
            _(
                "The files of training %(n)d are missing or were changed since it ended, so a test "
                "would prove nothing. Train again."
            )
            % {"n": candidate.training.number}
        )


def sampling_of(candidate: Candidate) -> Sampling:
    """Its settings for the engine."""
    sampling: Sampling = {"thought_tokens": THOUGHT_TOKENS[candidate.thinking]}
    sampling.update(candidate.sampling)
    return sampling


def prompt_template(candidate: Candidate) -> PromptTemplate:
    return PromptTemplate.from_spec(_prompt_spec(candidate))


def candidate_spec(candidate: Candidate, *, for_engine: bool = False) -> CandidateSpec:
    """The candidate for a worker, or for the engine.

    Written to a child's standard input only and never stored, since it contains the key of a
    remote model. Raises PlainError when that key is lost or the documents have changed.
    """
    return {
        "id": candidate.pk,
        "name": candidate.kind,
        **_model_folders(candidate, for_engine),
        "number_format": candidate.number_format,
        "endpoint": _endpoint_target(candidate),
        "sampling": candidate.sampling,
        "thinking": candidate.thinking,
        "knowledge": retrieval_of(candidate),
        **_prompt_spec(candidate),
    }


def _model_folders(candidate: Candidate, for_engine: bool) -> ModelFolders:
    """Absolute. Where every weight was trained, the model is the training's own."""
    base, training = candidate.base_model, candidate.training
    folder_of = engine_folder if for_engine else local_folder
    base_folder = str(folder_of(base.folder)) if base else None
    result = str(folder_of(candidate.adapter_folder)) if training else None
    if training and training.is_full:
        return {"base_model": result, "adapter": None, "tuned_from": base_folder}
    return {"base_model": base_folder, "adapter": result, "tuned_from": None}


def _endpoint_target(candidate: Candidate) -> TargetSpec | None:
    try:
        return target_of(candidate.endpoint).to_json() if candidate.endpoint else None
    except RemoteError as problem:
        raise PlainError(problem.message) from problem


def _prompt_spec(candidate: Candidate) -> PromptSpec:
    return {
        "instructions": candidate.instructions,
        "shots": candidate.shots,
        "grounded": candidate.knowledge_id is not None,
        "context_length": context_length_of(candidate),
    }
