"""/v1/batches: create, list, read and cancel batches."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.batches import services
from finetune_app.batches.endpoints import ENDPOINTS
from finetune_app.batches.models import Batch
from finetune_app.batches.responses import batch_object
from finetune_app.core.errors import PlainError
from finetune_app.fine_tuning_api.lookup import find_file, parse_public_id, require_team_key
from finetune_app.fine_tuning_api.models import ApiFile, Purpose
from finetune_app.gateway.access import api_view, require_action
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject, read_json_object
from finetune_app.gateway.pagination import page_of_rows, parse_page_request, with_text_ids
from finetune_app.gateway.request_fields import (
    choice_field,
    lifetime_field,
    metadata_field,
    refuse_unknown,
    required_text,
)

DEFAULT_LISTED, MAX_LISTED = 20, 100
FIELDS = ("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after")


# What a batch has cost can be read after it has used up the budget of its key.
@api_view("GET", "POST", action="chat", uses_tokens=False)
async def batch_list(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    work = _create if request.method == "POST" else _list
    return JsonResponse(await sync_to_async(work)(request, require_team_key(key)))


@api_view("GET", action="chat", uses_tokens=False)
async def batch_detail(request: HttpRequest, key: ApiKey, batch_id: str) -> HttpResponseBase:
    return JsonResponse(await sync_to_async(lambda: batch_object(_find(key, batch_id)))())


@api_view("POST", action="chat", uses_tokens=False)
async def cancel(request: HttpRequest, key: ApiKey, batch_id: str) -> HttpResponseBase:
    return JsonResponse(await sync_to_async(_cancel)(key, batch_id))


def _create(request: HttpRequest, key: ApiKey) -> JsonObject:
    given = read_json_object(request.body)
    refuse_unknown(given, FIELDS)
    endpoint = choice_field(given, "endpoint", ENDPOINTS)
    choice_field(given, "completion_window", [services.COMPLETION_WINDOW])
    require_action(key, ENDPOINTS[endpoint].action)
    try:
        batch = services.start_batch(
            key=key,
            endpoint=endpoint,
            input_file=_input_file(key, required_text(given, "input_file_id")),
            metadata=metadata_field(given),
            output_lifetime=lifetime_field(given, "output_expires_after"),
        )
    except PlainError as problem:
        raise ApiError(problem.status, problem.message, should_retry=False) from problem
    return batch_object(batch)


def _input_file(key: ApiKey, file_id: str) -> ApiFile:
    """Raises ApiError if there is no such file, or it is not for a batch."""
    file = find_file(key, file_id, param="input_file_id")
    if file.purpose != Purpose.BATCH:
        raise ApiError(
            400,
            f"“{file_id}” has the purpose “{file.purpose}”. Upload requests with the purpose "
            f"“{Purpose.BATCH}”.",
            param="input_file_id",
        )
    return file


def _cancel(key: ApiKey, batch_id: str) -> JsonObject:
    batch = _find(key, batch_id)
    try:
        services.cancel_batch(batch=batch)
    except PlainError as problem:
        # Not tried again: OpenAI's clients repeat a request that got a 409.
        raise ApiError(problem.status, problem.message, should_retry=False) from problem
    return batch_object(batch)


def _list(request: HttpRequest, key: ApiKey) -> JsonObject:
    page = page_of_rows(
        Batch.objects.filter(team=key.team_id).select_related("output_file", "error_file"),
        parse_page_request(request, default=DEFAULT_LISTED, maximum=MAX_LISTED),
        cursor=lambda batch_id: _find(key, batch_id, param="after"),
        as_object=batch_object,
    )
    return with_text_ids(page)


def _find(key: ApiKey, batch_id: str, *, param: str | None = None) -> Batch:
    """Raises ApiError if the team has no such batch."""
    public_id = parse_public_id(batch_id, "batch_")
    batches = Batch.objects.filter(team=require_team_key(key).team_id)
    batches = batches.select_related("job", "output_file", "error_file")
    batch = batches.filter(public_id=public_id).first() if public_id else None
    if batch is None:
        raise ApiError(
            404, f"There is no batch “{batch_id[:80]}”.", code="batch_not_found", param=param
        )
    return batch
