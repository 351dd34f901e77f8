"""Make candidates. An identical one is reused, a frozen one never changed."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates.models import Candidate, CandidateKind
from finetune_app.core.files import local_folder
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training


def base_candidate(*, goal: Goal, base_model: BaseModel) -> Candidate:
    """The base model as it is."""
    return _same_or_new(goal, CandidateKind.BASE, name=base_model.name, base_model=base_model)


def tuned_candidate(*, training: Training) -> Candidate:
    """The base model with what this training learned; pins the adapter's hash."""
    return _same_or_new(
        training.goal, CandidateKind.TUNED,
        name=_("Tuned, training %(n)d") % {"n": training.number},
        base_model=training.base_model, training=training,
        adapter_sha256=training.adapter_sha256,
    )


def prompt_candidate(
    *, goal: Goal, base_model: BaseModel, instructions: str, shots: list[dict[str, str]]
) -> Candidate:
    """The base model with good instructions and example shots (of train only)."""
    return _same_or_new(
        goal, CandidateKind.PROMPT, name=_("With a good prompt"), base_model=base_model,
        instructions=instructions.strip(), shots=shots,
    )


def _same_or_new(goal: Goal, kind: CandidateKind, **pinned: Any) -> Candidate:
    same = Candidate.objects.filter(goal=goal, kind=kind, **pinned).order_by("-pk").first()
    if same:
        return same
    earlier = Candidate.objects.filter(goal=goal, kind=kind).count()
    return Candidate.objects.create(goal=goal, kind=kind, revision=earlier + 1, **pinned)


def freeze(candidates: QuerySet[Candidate]) -> None:
    """From now on they are immutable: what was tested is what is kept."""
    candidates.filter(frozen_at=None).update(frozen_at=timezone.now())


def for_engine(candidate: Candidate) -> dict[str, Any]:
    """What the engine needs to answer as this candidate; paths on this machine."""
    adapter = None
    if candidate.training:
        adapter = str(local_folder(candidate.training.adapter_folder))
    return {
        "id": candidate.pk,
        "name": candidate.kind,
        "adapter": adapter,
        "instructions": candidate.instructions,
        "shots": candidate.shots,
    }


def compose(candidate: Candidate, messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The messages the model really gets: instructions first, then shots, then the question."""
    before: list[dict[str, str]] = []
    if candidate.instructions:
        before.append({"role": "system", "content": candidate.instructions})
        messages = [message for message in messages if message["role"] != "system"]
    for shot in candidate.shots:
        before.append({"role": "user", "content": shot["prompt"]})
        before.append({"role": "assistant", "content": shot["answer"]})
    return before + messages
