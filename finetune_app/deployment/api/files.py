"""/v1/files: what a program wants to train on."""

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.core.downloads import download, pieces_of
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.deployment import fine_tuning
from finetune_app.deployment.api.access import api
from finetune_app.deployment.api.errors import ApiError
from finetune_app.deployment.models import ApiFile, ApiKey

MOST_LISTED = 100


@api("GET", "POST", action="files")
async def files(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    work = _upload if request.method == "POST" else _listing
    return JsonResponse(await sync_to_async(work)(request, whole_team(key)))


@api("GET", "DELETE", action="files")
async def file(request: HttpRequest, key: ApiKey, file_id: str) -> HttpResponseBase:
    found = await sync_to_async(find)(whole_team(key), file_id)
    if request.method == "DELETE":
        await sync_to_async(found.delete)()  # rows that were made of it stay
        return JsonResponse({"id": file_id, "object": "file", "deleted": True})
    return JsonResponse(shown(found))


@api("GET", action="files")
async def content(request: HttpRequest, key: ApiKey, file_id: str) -> HttpResponseBase:
    found = await sync_to_async(find)(whole_team(key), file_id)
    path = await sync_to_async(local_path)(found.kept_as)
    return download(
        request, pieces_of(path), name="file.jsonl", content_type="application/octet-stream"
    )


def whole_team(key: ApiKey) -> ApiKey:
    """Raises ApiError for a key that opens one deployment: training wants the team's own."""
    if key.deployment_id:
        raise ApiError(
            403,
            "This key opens one model alone. A person of your team can make one that may "
            "train, on the page of the team's keys.",
            code="key_not_allowed",
        )
    return key


def find(key: ApiKey, file_id: str) -> ApiFile:
    public_id = uuid_in(file_id, "file-")
    rows = ApiFile.objects.filter(team=key.team_id)
    match = rows.filter(public_id=public_id).first() if public_id else None
    if match is None:
        raise ApiError(404, f"There is no file “{file_id[:80]}”.", code="file_not_found")
    return match


def uuid_in(api_id: str, start: str) -> UUID | None:
    """The id behind `start`, written as we write it; None for anything else."""
    try:
        found = UUID(api_id.removeprefix(start))
    except ValueError:
        return None
    return found if api_id == f"{start}{found.hex}" else None


def _upload(request: HttpRequest, key: ApiKey) -> dict[str, Any]:
    sent = request.FILES.get("file")
    purpose = request.POST.get("purpose", "")
    if sent is None:
        raise ApiError(400, "Send the file as “file”, in a multipart form.", param="file")
    if purpose != "fine-tune":
        raise ApiError(400, "The only “purpose” here is “fine-tune”.", param="purpose")
    try:
        kept = fine_tuning.keep_file(
            team=key.team, name=str(sent.name or ""), purpose=purpose, file=sent
        )
    except PlainError as problem:
        raise ApiError(problem.status, problem.message, param="file") from problem
    return shown(kept)


def _listing(request: HttpRequest, key: ApiKey) -> dict[str, Any]:
    rows = ApiFile.objects.filter(team=key.team_id)[:MOST_LISTED]
    return {"object": "list", "data": [shown(row) for row in rows], "has_more": False}


def shown(file: ApiFile) -> dict[str, Any]:
    return {
        "id": file.api_id,
        "object": "file",
        "bytes": file.size,
        "filename": file.name,
        "created_at": int(file.created_at.timestamp()),
        "purpose": file.purpose,
        "status": "processed",
    }
