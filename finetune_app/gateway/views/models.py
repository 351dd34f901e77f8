"""GET /v1/models: the models of a key: base models, deployments under all their names, and tuned
models."""

from typing import TypedDict

from asgiref.sync import sync_to_async
from django.http import HttpRequest, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway import embedder, model_lookup
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError


class ModelObject(TypedDict):
    id: str
    object: str
    created: int
    owned_by: str


@api_view("GET", action="models")
async def model_list(request: HttpRequest, key: ApiKey) -> JsonResponse:
    return JsonResponse({"object": "list", "data": await sync_to_async(_all_models)(key)})


@api_view("GET", action="models")
async def model_detail(request: HttpRequest, key: ApiKey, name: str) -> JsonResponse:
    for model in await sync_to_async(_all_models)(key):
        if model["id"] == name:
            return JsonResponse(model)
    raise ApiError(404, f"The model “{name[:80]}” does not exist.", code="model_not_found")


def _all_models(key: ApiKey) -> list[ModelObject]:
    found = [_model(one.slug, 0, "finetune") for one in model_lookup.base_models(key)]
    if not key.deployment_id:
        found.append(_model(embedder.model_name(), 0, "finetune"))
    owner = f"team-{key.team_id}"
    live = model_lookup.deployments(key).filter(paused_at=None).order_by("pk")
    for one in live.prefetch_related("aliases"):
        names = [one.name, *(alias.name for alias in one.aliases.all())]
        found += [_model(name, int(one.created_at.timestamp()), owner) for name in names]
    found += [
        _model(one.name, int(one.created_at.timestamp()), owner)
        for one in model_lookup.tuned_models(key)
    ]
    return found


def _model(name: str, created: int, owner: str) -> ModelObject:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
