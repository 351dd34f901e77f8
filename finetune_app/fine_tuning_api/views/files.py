"""/v1/files: upload, list, read and delete files."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.downloads import download, file_chunks
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.core.requests import whole_number
from finetune_app.fine_tuning_api import services
from finetune_app.fine_tuning_api.lookup import find_file, require_team_key
from finetune_app.fine_tuning_api.models import UPLOADED, ApiFile, Purpose
from finetune_app.fine_tuning_api.responses import file_object
from finetune_app.fine_tuning_api.result_file import NAME
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject
from finetune_app.gateway.pagination import page_of_rows, parse_page_request, with_text_ids
from finetune_app.gateway.request_fields import choice_field, lifetime_field, refuse_unknown

MAX_LISTED = 10_000
DOWNLOAD_NAME = "file.jsonl"
EXPIRY = {"expires_after[anchor]": "anchor", "expires_after[seconds]": "seconds"}


@api_view("GET", "POST", action="files")
async def file_list(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    work = _upload if request.method == "POST" else _list
    return JsonResponse(await sync_to_async(work)(request, require_team_key(key)))


@api_view("GET", "DELETE", action="files", audit=AuditAction.FILE_DELETED)
async def file_detail(request: HttpRequest, key: ApiKey, file_id: str) -> HttpResponseBase:
    file = await sync_to_async(find_file)(require_team_key(key), file_id)
    set_audit_target(request, file)
    if request.method == "DELETE":
        await sync_to_async(file.delete)()  # examples that were read from it stay
        return JsonResponse({"id": file_id, "object": "file", "deleted": True})
    return JsonResponse(file_object(file))


@api_view("GET", action="files", audit=AuditAction.FILE_EXPORTED)
async def file_content(request: HttpRequest, key: ApiKey, file_id: str) -> HttpResponseBase:
    file = await sync_to_async(find_file)(require_team_key(key), file_id)
    set_audit_target(request, file)
    path = await sync_to_async(local_path)(file.storage_path)
    name = NAME if file.purpose == Purpose.RESULTS else DOWNLOAD_NAME
    return download(request, file_chunks(path), name=name, content_type="application/octet-stream")


def _upload(request: HttpRequest, key: ApiKey) -> JsonObject:
    upload = request.FILES.get("file")
    purpose = request.POST.get("purpose", "")
    refuse_unknown(request.POST.dict(), ("purpose", *EXPIRY))
    if upload is None:
        raise ApiError(400, "Send the file as “file”, in a multipart form.", param="file")
    choice_field(request.POST.dict(), "purpose", UPLOADED)
    try:
        saved = services.save_file(
            team=key.team,
            name=str(upload.name or ""),
            purpose=purpose,
            file=upload,
            lifetime=lifetime_field({"expires_after": _expires_after(request)}),
        )
    except PlainError as problem:
        raise ApiError(problem.status, problem.message, param="file") from problem
    return file_object(saved)


def _expires_after(request: HttpRequest) -> JsonObject:
    """As the fields of a form have it: `expires_after[seconds]=3600`."""
    sent = request.POST
    given: JsonObject = {name: sent[field] for field, name in EXPIRY.items() if field in sent}
    return given | {"seconds": whole_number(str(given.get("seconds", "")))} if given else {}


def _list(request: HttpRequest, key: ApiKey) -> JsonObject:
    files = ApiFile.objects.filter(team=key.team_id).not_expired()
    if purpose := request.GET.get("purpose"):
        files = files.filter(purpose=purpose)
    page = page_of_rows(
        files,
        parse_page_request(request, default=MAX_LISTED, maximum=MAX_LISTED),
        cursor=lambda file_id: find_file(key, file_id, param="after"),
        as_object=file_object,
    )
    return with_text_ids(page)
