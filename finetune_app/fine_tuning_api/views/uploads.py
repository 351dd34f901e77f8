"""/v1/uploads: a file in parts, which becomes one of /v1/files."""

from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.core.errors import PlainError
from finetune_app.fine_tuning_api import uploads
from finetune_app.fine_tuning_api.lookup import find_upload, require_team_key
from finetune_app.fine_tuning_api.models import UPLOADED
from finetune_app.fine_tuning_api.responses import part_object, upload_object
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject, read_json_object
from finetune_app.gateway.request_fields import (
    choice_field,
    lifetime_field,
    refuse_unknown,
    required_text,
)

Work = Callable[[HttpRequest, ApiKey, str], JsonObject]


@api_view("POST", action="files")
async def start(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    return await _response(_start, request, key)


@api_view("POST", action="files")
async def add_part(request: HttpRequest, key: ApiKey, upload_id: str) -> HttpResponseBase:
    return await _response(_add_part, request, key, upload_id)


@api_view("POST", action="files")
async def complete(request: HttpRequest, key: ApiKey, upload_id: str) -> HttpResponseBase:
    return await _response(_complete, request, key, upload_id)


@api_view("POST", action="files")
async def cancel(request: HttpRequest, key: ApiKey, upload_id: str) -> HttpResponseBase:
    return await _response(_cancel, request, key, upload_id)


async def _response(
    work: Work, request: HttpRequest, key: ApiKey, upload_id: str = ""
) -> JsonResponse:
    try:
        return JsonResponse(await sync_to_async(work)(request, require_team_key(key), upload_id))
    except PlainError as problem:
        raise ApiError(problem.status, problem.message) from problem


def _start(request: HttpRequest, key: ApiKey, upload_id: str) -> JsonObject:
    given = read_json_object(request.body)
    refuse_unknown(given, ("filename", "purpose", "bytes", "mime_type", "expires_after"))
    name = required_text(given, "filename")
    required_text(given, "mime_type")  # a job reads the content, whatever this says
    purpose = choice_field(given, "purpose", UPLOADED)
    size = given.get("bytes")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ApiError(400, "“bytes” is the size of the whole file.", param="bytes")
    upload = uploads.start_upload(
        team=key.team,
        name=name,
        purpose=purpose,
        size=size,
        file_lifetime=lifetime_field(given),
    )
    return upload_object(upload)


def _add_part(request: HttpRequest, key: ApiKey, upload_id: str) -> JsonObject:
    upload = find_upload(key, upload_id)
    uploads.require_pending(upload)
    data = request.FILES.get("data")
    if data is None:
        raise ApiError(400, "Send the part as “data”, in a multipart form.", param="data")
    return part_object(uploads.add_part(upload=upload, data=data))


def _complete(request: HttpRequest, key: ApiKey, upload_id: str) -> JsonObject:
    given = read_json_object(request.body)
    refuse_unknown(given, ("part_ids", "md5"))
    part_ids, md5 = given.get("part_ids"), given.get("md5") or ""
    if not isinstance(part_ids, list) or not all(isinstance(one, str) for one in part_ids):
        raise ApiError(400, "“part_ids” is a list of the ids of parts.", param="part_ids")
    if len(set(part_ids)) != len(part_ids):
        raise ApiError(400, "“part_ids” names a part twice.", param="part_ids")
    if not isinstance(md5, str):
        raise ApiError(400, "“md5” is a text of hexadecimal digits.", param="md5")
    upload = find_upload(key, upload_id)
    uploads.complete_upload(upload=upload, part_ids=part_ids, md5=md5)
    return upload_object(upload)


def _cancel(request: HttpRequest, key: ApiKey, upload_id: str) -> JsonObject:
    upload = find_upload(key, upload_id)
    uploads.cancel_upload(upload=upload)
    return upload_object(upload)
