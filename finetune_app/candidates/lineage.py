"""What candidates have learned from, here and elsewhere, and which of them are the same model."""

from collections.abc import Collection

from django.db.models import Q

from finetune_app.candidates.models import Candidate, CandidateQuerySet
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.training import lineage
from finetune_app.versions.models import Version


def versions_learned_from(candidates: Collection[Candidate]) -> list[Version]:
    """The versions that any of them has learned from, those of earlier trainings included."""
    found: set[int] = set()
    for candidate in candidates:
        if candidate.training:
            found |= lineage.version_ids(candidate.training)
        if candidate.endpoint_id:
            found |= _version_ids_elsewhere(candidate)
    return list(Version.objects.filter(pk__in=found))


def _version_ids_elsewhere(candidate: Candidate) -> set[int]:
    """Of the training on a platform that made its model, and of those that this one went on from:
    what they made was named as the model to train."""
    of_team = RemoteTraining.objects.filter(goal__team=candidate.goal.team_id)
    found = {one.pk: one for one in of_team.filter(endpoint=candidate.endpoint_id)}
    waiting = list(found.values())
    while waiting:
        model = waiting.pop().spec.get("model")
        earlier = of_team.filter(remote_model=model).exclude(pk__in=found) if model else ()
        for one in earlier:
            found[one.pk] = one
            waiting.append(one)
    return {one.version_id for one in found.values()}


def same_models(candidates: Collection[Candidate]) -> CandidateQuerySet:
    """Candidates with the same model as one of these, or with one that it was trained from;
    instructions, documents and the step do not matter."""
    trained = {
        training.pk
        for candidate in candidates
        if candidate.training
        for training in lineage.chain_of(candidate.training)
    }
    untrained = {one.base_model_id for one in candidates if one.base_model_id and not one.training}
    elsewhere = {one.endpoint_id for one in candidates if one.endpoint_id}
    return Candidate.objects.filter(
        Q(training__in=trained)
        | Q(training=None, base_model__in=untrained)
        | Q(endpoint__in=elsewhere)
    )
