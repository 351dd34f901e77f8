"""Which models a key can ask: the installed base models, the starter first, then what is live."""

from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Q, QuerySet
from django.http import HttpRequest, JsonResponse

from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates import inference
from finetune_app.candidates import services as candidates
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_folder
from finetune_app.deployment import canary
from finetune_app.deployment.api import embeddings
from finetune_app.deployment.api.access import api
from finetune_app.deployment.api.errors import ApiError
from finetune_app.deployment.models import ApiJob, ApiKey, Deployment, Release


@dataclass(frozen=True)
class Served:
    """Something that can be asked. `goal_id` is 0 for a base model."""

    request: inference.CandidateRequest
    goal_id: int = 0
    deployment: Deployment | None = None
    release: Release | None = None


def find(key: ApiKey, name: str, asker: str = "") -> Served:
    """What goes by this name for this key; `asker` decides who gets a version on trial. Raises
    ApiError; another team's does not exist."""
    live = _deployments(key).filter(name=name).first()
    if live:
        return serve(live, f"{key.pk}:{asker}" if asker else "")
    tuned = next((job for job in _tuned(key) if job.tuned_name == name), None)
    if tuned:
        return _learned(tuned)
    model = next((one for one in _base_models(key) if one.slug == name), None)
    if model is None:
        raise _not_found(key, name)
    folder = str(local_folder(model.folder))
    return Served(inference.request_for_base_model(folder))


def _not_found(key: ApiKey, name: str) -> ApiError:
    if name == embeddings.model_name() and not key.deployment_id:
        why = f"“{name}” makes embeddings and writes no answers. GET /v1/models lists what does."
    else:
        why = f"The model “{name[:80]}” does not exist, or this key may not use it."
    return ApiError(404, why, code="model_not_found", param="model")


def serve(deployment: Deployment, asker: str) -> Served:
    """The release that answers this asker. Raises ApiError where none can."""
    if deployment.paused_at:
        raise ApiError(
            503,
            f"“{deployment.name}” is paused. A person of your team can resume it.",
            code="model_paused",
            retry_after=60,
        )
    release = canary.release_for(deployment, asker)
    if release is None:
        raise ApiError(404, f"“{deployment.name}” is not live.", code="model_not_found")
    try:
        request = inference.request_for(release.candidate)
    except PlainError as problem:
        raise ApiError(503, problem.message, code="model_not_ready") from problem
    return Served(request, deployment.goal_id, deployment, release)


def _learned(job: ApiJob) -> Served:
    """What a fine-tuning job made answers at once, without being live."""
    assert job.training is not None
    try:
        candidate = candidates.tuned_candidate(training=job.training)
        return Served(inference.request_for(candidate), job.goal_id)
    except PlainError as problem:
        raise ApiError(503, problem.message, code="model_not_ready") from problem


def _tuned(key: ApiKey) -> list[ApiJob]:
    """Fine-tuning jobs of the team with an adapter; none for a key that opens one deployment."""
    if key.deployment_id:
        return []
    made = ApiJob.objects.filter(team=key.team_id).exclude(training=None)
    return list(
        made.exclude(training__adapter_sha256="").select_related(
            "training__goal", "training__base_model"
        )
    )


def _deployments(key: ApiKey) -> QuerySet[Deployment]:
    found = Deployment.objects.filter(team=key.team_id).select_related("goal")
    return found.filter(pk=key.deployment_id) if key.deployment_id else found


def _base_models(key: ApiKey) -> list[BaseModel]:
    """Those whose files are here, the smallest first: that is the starter."""
    if key.deployment_id:
        return []
    theirs = BaseModel.objects.filter(Q(team=None) | Q(team=key.team_id))
    return [model for model in theirs if model.is_here]


@api("GET", action="models")
async def listing(request: HttpRequest, key: ApiKey) -> JsonResponse:
    return JsonResponse({"object": "list", "data": await sync_to_async(_all)(key)})


@api("GET", action="models")
async def detail(request: HttpRequest, key: ApiKey, name: str) -> JsonResponse:
    for model in await sync_to_async(_all)(key):
        if model["id"] == name:
            return JsonResponse(model)
    raise ApiError(404, f"The model “{name[:80]}” does not exist.", code="model_not_found")


def _all(key: ApiKey) -> list[dict[str, Any]]:
    bases = [_row(one.slug, 0, "finetune") for one in _base_models(key)]
    if not key.deployment_id:
        bases.append(_row(embeddings.model_name(), 0, "finetune"))
    live = [
        _row(one.name, int(one.created_at.timestamp()), f"team-{key.team_id}")
        for one in _deployments(key).filter(paused_at=None).order_by("pk")
    ]
    owner = f"team-{key.team_id}"
    tuned = [_row(job.tuned_name, int(job.created_at.timestamp()), owner) for job in _tuned(key)]
    return bases + live + tuned


def _row(name: str, created: int, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
