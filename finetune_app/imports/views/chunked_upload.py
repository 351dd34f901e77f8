"""The small endpoint behind static/js/upload.js: begin, add pieces, ask how far, finish, forget."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import HttpRequest, whole_number
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.imports import chunked_upload
from finetune_app.imports.models import Upload

Answer = Callable[..., HttpResponse]


def said_as_json(view: Answer) -> Answer:
    """What a person can mend as {"problem"}, beside the control that sent it."""

    @wraps(view)
    def inner(*args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(*args, **kwargs)
        except PlainError as error:
            return JsonResponse({"problem": error.message}, status=error.status)

    return inner


@goal_page(Role.EDITOR, "POST")
@said_as_json
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    """{"name", "size"} of a file: where its pieces go, and how much of it is here."""
    size = whole_number(request.POST.get("size"))
    if size is None:
        raise PlainError(_("The size of the file is missing."))
    upload = chunked_upload.start_upload(
        dataset=dataset_of(goal), by=request.user, name=request.POST.get("name", ""), size=size
    )
    return _how_far(goal, upload, status=201)


@goal_page(Role.EDITOR, "GET", "PUT", "POST", "DELETE")
@said_as_json
def upload(request: HttpRequest, goal: Goal, upload_id: UUID) -> HttpResponse:
    """GET: how far. PUT ?offset=: the next piece. POST: all is here. DELETE: forget it."""
    found = get_object_or_404(Upload, pk=upload_id, dataset__goal=goal)
    if found.by != request.user:
        raise PlainError(_("Somebody else brings this file."), status=409)
    if request.method == "PUT":
        return _add(request, goal, found)
    if request.method == "DELETE" or request.POST.get("what") == "forget":
        found.delete()
        return (
            HttpResponse(status=204)
            if request.method == "DELETE"
            else redirect("imports:add", goal_id=goal.pk)
        )
    if request.method == "POST":
        item = chunked_upload.finish_upload(upload=found)
        where = {"goal_id": goal.pk, "import_id": item.pk}
        return JsonResponse({"page": reverse("imports:detail", kwargs=where)})
    return _how_far(goal, found)


def _add(request: HttpRequest, goal: Goal, found: Upload) -> HttpResponse:
    offset = whole_number(request.GET.get("offset"))
    length = whole_number(request.headers.get("Content-Length"))
    if offset is None or length is None:
        raise PlainError(_("A piece names its place and its size."))
    try:
        chunked_upload.append_chunk(upload=found, offset=offset, length=length, source=request)
    except chunked_upload.WrongOffset:
        found.refresh_from_db()
        return _how_far(goal, found, status=409)
    found.refresh_from_db()
    return _how_far(goal, found)


def _how_far(goal: Goal, upload: Upload, status: int = 200) -> HttpResponse:
    where = {"goal_id": goal.pk, "upload_id": upload.pk}
    answer = {
        "url": reverse("imports:upload_chunks", kwargs=where),
        "received": upload.received,
        "size": upload.size,
        "piece": chunked_upload.CHUNK_BYTES,
    }
    return JsonResponse(answer, status=status)
