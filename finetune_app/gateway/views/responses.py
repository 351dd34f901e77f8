"""/v1/responses: create, read and delete responses, list their input and count its tokens."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError, invalid_request
from finetune_app.gateway.generation import Generation
from finetune_app.gateway.pagination import (
    page_of_objects,
    parse_page_request,
    with_text_ids,
)
from finetune_app.gateway.responses_api.generation import response_generation
from finetune_app.gateway.responses_api.request import in_names_of_responses
from finetune_app.request_log import stored_responses
from finetune_app.request_log.models import StoredResponse
from finetune_app.request_log.stored_responses import ResponseGone

DEFAULT_LISTED, MAX_LISTED = 20, 100


def prepare(request: HttpRequest, key: ApiKey) -> Generation:
    """Raises ApiError."""
    generation = response_generation(key, request.body)
    try:
        return generation.with_model()
    except ApiError as error:
        raise in_names_of_responses(error) from error


@api_view("POST", action="chat", prepare=prepare)
async def create_response(request: HttpRequest, generation: Generation) -> HttpResponseBase:
    try:
        return await generation.response()
    except ApiError as error:
        raise in_names_of_responses(error) from error


@api_view("POST", action="chat", uses_tokens=False)
async def count_input_tokens(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    generation = await sync_to_async(response_generation)(key, request.body)
    try:
        count = await generation.prompt_tokens()
    except ApiError as error:
        raise in_names_of_responses(error) from error
    return JsonResponse({"object": "response.input_tokens", "input_tokens": count})


@api_view("GET", "DELETE", action="chat", uses_tokens=False)
async def response_detail(request: HttpRequest, key: ApiKey, response_id: str) -> HttpResponseBase:
    found = await sync_to_async(_find)(key, response_id)
    if request.method == "DELETE":
        await sync_to_async(found.delete)()
        return JsonResponse({"id": response_id, "object": "response", "deleted": True})
    if request.GET.get("stream") == "true":
        raise invalid_request("A stored response is not streamed. Leave “stream” out.", "stream")
    return JsonResponse(found.response)


@api_view("GET", action="chat", uses_tokens=False)
async def input_items(request: HttpRequest, key: ApiKey, response_id: str) -> HttpResponseBase:
    page = parse_page_request(request, default=DEFAULT_LISTED, maximum=MAX_LISTED)
    found = await sync_to_async(_find)(key, response_id)
    return JsonResponse(with_text_ids(page_of_objects(found.input[::-1], page)))


def _find(key: ApiKey, response_id: str) -> StoredResponse:
    try:
        return stored_responses.find(key, response_id)
    except ResponseGone:
        raise ApiError(
            404,
            f"There is no response “{response_id[:80]}”. Responses are stored for deployments "
            "whose texts are kept, redacted and for some days.",
            code="response_not_found",
        ) from None
