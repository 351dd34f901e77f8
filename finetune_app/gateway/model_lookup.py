"""Resolves model names to deployments, tuned models and installed base models."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from finetune_app.api_keys.models import ApiKey
from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates import inference
from finetune_app.candidates import services as candidates
from finetune_app.core.errors import PlainError
from finetune_app.core.files import engine_folder
from finetune_app.deployment import canary
from finetune_app.deployment.aliases import deployment_named
from finetune_app.deployment.models import Deployment, Release
from finetune_app.gateway import embedder
from finetune_app.gateway.errors import ApiError
from finetune_app.training.models import Training

# In SQL, as deployment/aliases.py has it for deployments.
BASE_MODEL_BY_NAME = """
    SELECT * FROM basemodels_basemodel WHERE slug = %s AND (team_id IS NULL OR team_id = %s)
"""


@dataclass(frozen=True)
class ResolvedModel:
    """The model that answers. `request` is the request to it, still without messages; `goal_id` is
    0 for a base model."""

    request: inference.CandidateRequest
    goal_id: int = 0
    deployment: Deployment | None = None
    release: Release | None = None


class DeploymentUnavailable(ApiError):
    """The deployment that was asked cannot answer. It is named, so that its own log says so."""

    def __init__(
        self,
        deployment: Deployment,
        status: int,
        message: str,
        *,
        code: str,
        release: Release | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(status, message, code=code, retry_after=retry_after)
        self.deployment, self.release = deployment, release


@dataclass(frozen=True)
class TunedModel:
    """A trained adapter that has a name of its own without being deployed."""

    name: str
    training: Training
    created_at: datetime
    step: int | None = None  # a kept step of the training; None: the best one


# Apps above this one register functions that list a team's tuned models.
TunedModelSource = Callable[[int], list[TunedModel]]
_tuned_model_sources: list[TunedModelSource] = []


def register_tuned_models(source: TunedModelSource) -> None:
    """Add a function from a team's id to its tuned models; call it in AppConfig.ready()."""
    if source not in _tuned_model_sources:
        _tuned_model_sources.append(source)


def resolve(key: ApiKey, name: str, conversation_id: str = "") -> ResolvedModel:
    """The model with this name that the key can use; `conversation_id` decides who gets a canary.

    Raises ApiError if there is none, or if it cannot answer now.
    """
    deployment = deployment_named(key.team_id, name)
    if deployment and key.deployment_id in (None, deployment.pk):
        return resolve_deployment(
            deployment, f"{key.pk}:{conversation_id}" if conversation_id else ""
        )
    base_model = _base_model(key, name)
    if base_model and base_model.is_here:
        folder = str(engine_folder(base_model.folder))
        return ResolvedModel(inference.request_for_base_model(folder))
    # Last, because all of the team's are read.
    tuned = next((model for model in tuned_models(key) if model.name == name), None)
    if tuned is None:
        raise _model_not_found(key, name)
    return _resolve_tuned(tuned)


def resolve_deployment(deployment: Deployment, conversation_id: str) -> ResolvedModel:
    """The release that answers this conversation. Raises DeploymentUnavailable if none can."""
    if deployment.paused_at:
        raise DeploymentUnavailable(
            deployment,
            503,
            f"“{deployment.name}” is paused. A person of your team can resume it.",
            code="model_paused",
            retry_after=60,
        )
    release = canary.release_for(deployment, conversation_id)
    if release is None:
        raise DeploymentUnavailable(
            deployment, 404, f"“{deployment.name}” is not live.", code="model_not_found"
        )
    try:
        request = inference.request_for(release.candidate)
    except PlainError as problem:
        raise DeploymentUnavailable(
            deployment, 503, problem.message, code="model_not_ready", release=release
        ) from problem
    return ResolvedModel(request, deployment.goal_id, deployment, release)


def deployments(key: ApiKey) -> QuerySet[Deployment]:
    found = Deployment.objects.filter(team=key.team_id)
    return found.filter(pk=key.deployment_id) if key.deployment_id else found


def tuned_models(key: ApiKey) -> list[TunedModel]:
    """An empty list for a key that is restricted to one deployment."""
    if key.deployment_id:
        return []
    return [model for source in _tuned_model_sources for model in source(key.team_id)]


def base_models(key: ApiKey) -> list[BaseModel]:
    """The installed ones, the smallest first, which is the starter. An empty list for a key that is
    restricted to one deployment."""
    if key.deployment_id:
        return []
    found = BaseModel.objects.filter(Q(team=None) | Q(team=key.team_id))
    return [model for model in found if model.is_here]


def _base_model(key: ApiKey, name: str) -> BaseModel | None:
    found = BaseModel.objects.raw(BASE_MODEL_BY_NAME, [name, key.team_id])
    return None if key.deployment_id else next(iter(found), None)


def _resolve_tuned(tuned: TunedModel) -> ResolvedModel:
    try:
        candidate = candidates.tuned_candidate(training=tuned.training, step=tuned.step)
        candidate = candidates.as_tested(candidate)
        return ResolvedModel(inference.request_for(candidate), tuned.training.goal_id)
    except PlainError as problem:
        raise ApiError(503, problem.message, code="model_not_ready") from problem


def _model_not_found(key: ApiKey, name: str) -> ApiError:
    if name == embedder.model_name() and not key.deployment_id:
        why = f"“{name}” makes embeddings and writes no answers. GET /v1/models lists what does."
    else:
        why = f"The model “{name[:80]}” does not exist, or this key may not use it."
    return ApiError(404, why, code="model_not_found", param="model")
