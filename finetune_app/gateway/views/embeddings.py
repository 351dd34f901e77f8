"""POST /v1/embeddings: vectors of texts, by the model that document search uses."""

from django.http import HttpRequest, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway.access import api_view
from finetune_app.gateway.embedding_requests import embed


@api_view("POST", action="embeddings")
async def embeddings(request: HttpRequest, key: ApiKey) -> JsonResponse:
    return JsonResponse(await embed(key, request.body))
