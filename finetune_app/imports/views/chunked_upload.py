"""Endpoints of static/js/upload.js: start, append chunks, get the state, finish, delete."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import whole_number
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.imports import chunked_upload
from finetune_app.imports.models import Upload


def plain_errors_as_json(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Answer a PlainError with {"problem"}, which the page shows beside the form."""

    @wraps(view)
    def inner(*args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(*args, **kwargs)
        except PlainError as error:
            return JsonResponse({"problem": error.message}, status=error.status)

    return inner


@goal_page(Role.EDITOR, "POST")
@plain_errors_as_json
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Start or resume the upload of a file, given its `name`, `size` in bytes, and when it was last
    `modified` (milliseconds since 1970)."""
    size = whole_number(request.POST.get("size"))
    if size is None:
        raise PlainError(_("The size of the file is missing."))
    upload = chunked_upload.start_upload(
        dataset=dataset_of(goal),
        by=request.user,
        name=request.POST.get("name", ""),
        size=size,
        modified_at_ms=whole_number(request.POST.get("modified")) or 0,
    )
    return _state(goal, upload, status=201)


@goal_page(Role.EDITOR, "GET", "PUT", "POST", "DELETE")
@plain_errors_as_json
def upload(request: HttpRequest, goal: Goal, upload_id: UUID) -> HttpResponse:
    """GET: the state. PUT ?offset=: append a chunk. POST: finish. DELETE: delete the upload."""
    found = get_object_or_404(Upload, pk=upload_id, dataset__goal=goal)
    if found.by != request.user:
        raise PlainError(_("Somebody else is uploading this file."), status=409)
    if request.method == "PUT":
        return _append(request, goal, found)
    if request.method == "DELETE":
        found.delete()
        return HttpResponse(status=204)
    if request.POST.get("what") == "forget":  # a form, without JavaScript
        found.delete()
        return redirect("imports:add", goal_id=goal.pk)
    if request.method == "POST":
        item = chunked_upload.finish_upload(upload=found)
        return JsonResponse({"page": reverse("imports:detail", args=[goal.pk, item.pk])})
    return _state(goal, found)


def _append(request: HttpRequest, goal: Goal, found: Upload) -> HttpResponse:
    offset = whole_number(request.GET.get("offset"))
    length = whole_number(request.headers.get("Content-Length"))
    if offset is None or length is None:
        raise PlainError(_("A chunk needs its offset and its size."))
    status = 200
    try:
        chunked_upload.append_chunk(upload=found, offset=offset, length=length, source=request)
    except chunked_upload.WrongOffset:
        status = 409
    found.refresh_from_db()
    return _state(goal, found, status)


def _state(goal: Goal, upload: Upload, status: int = 200) -> HttpResponse:
    state = {
        "url": reverse("imports:upload_chunks", args=[goal.pk, upload.pk]),
        "received": upload.received,
        "size": upload.size,
        "chunk_bytes": chunked_upload.CHUNK_BYTES,
    }
    return JsonResponse(state, status=status)
