"""Step 4 for a model that looks things up: its documents, and asking them."""

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core import engine_client
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_folder
from finetune_app.core.requests import render_page, whole_number
from finetune_app.core.upload_handlers import CappedUpload
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.knowledge import services
from finetune_app.knowledge.extract import extract
from finetune_app.knowledge.forms import AskForm, UploadForm
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.knowledge.presenters import added, cited, context

SHOWN = 5  # passages for a question: as many as a model is given


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The documents, and how their reading gets on (asked again by htmx while it does)."""
    after = whole_number(request.GET.get("after"))
    shown = context(goal, request.membership, after=after)
    name = "knowledge/page.html" if shown["count"] else "knowledge/empty.html"
    return render_page(request, name, shown, partial="live" if shown["count"] else None)


@goal_page(Role.VIEWER, "GET")
def ask(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The passages for a question (?q=), each with what made it fit."""
    form = AskForm(request.GET)
    found: dict[str, Any] = {"form": form, "asked": ""}
    status = 422
    if form.is_valid():
        found |= {"asked": form.cleaned_data["q"], **_search(goal, form.cleaned_data["q"])}
        status = 200
    shown = context(goal, request.membership, **found)
    return render_page(request, "knowledge/page.html", shown, partial="found", status=status)


def _search(goal: Goal, question: str) -> dict[str, Any]:
    """{"passages"} or {"problem"}. The index is this goal's own, whatever was asked."""
    knowledge = Knowledge.objects.filter(goal=goal).first()
    if knowledge is None or not knowledge.is_searchable:
        return {"problem": _("The documents cannot be searched yet. Wait until they are read.")}
    index = str(local_folder(knowledge.index_folder))
    try:
        passages = async_to_sync(engine_client.search)(index, question, count=SHOWN)
    except engine_client.EngineUnavailable as problem:
        return {"problem": str(problem)}
    here = set(knowledge.documents.values_list("pk", flat=True))
    return {"passages": cited(goal, [one for one in passages if one["document"] in here])}


@csrf_exempt  # checked in _add: the cap must be in place before the form is read
@goal_page(Role.EDITOR, "POST")
def add(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    request.upload_handlers = [CappedUpload(request), TemporaryFileUploadHandler(request)]
    return _add(request, goal)


@csrf_protect
def _add(request: HttpRequest, goal: Goal) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if getattr(request, "upload_too_large", False):
        too_much = _("That is more than 200 MB at once. Bring fewer documents at a time.")
        return _asked_again(request, goal, UploadForm(), 413, problem=too_much)
    if not form.is_valid():
        return _asked_again(request, goal, form, 422)
    taken = 0
    for file in form.cleaned_data["documents"]:
        try:
            made = services.add_document(goal=goal, by=request.user, file=file, name=file.name)
            taken += 1
            if made.knowledge.documents.filter(name=made.name).count() > 1:
                messages.warning(request, _called_alike(made))
        except PlainError as error:  # this file's alone; the others come in
            messages.warning(request, error.message)
    if taken:
        messages.success(request, added(taken))
    return redirect("knowledge:page", goal_id=goal.pk)


def _called_alike(document: Document) -> str:
    return _(
        "There are several documents called “%(name)s” now, and all are searched. If the new "
        "one replaces another, delete that."
    ) % {"name": document.name}


def _asked_again(
    request: HttpRequest, goal: Goal, form: UploadForm, status: int, problem: str = ""
) -> HttpResponse:
    more: dict[str, Any] = {"upload": form, "upload_problem": problem, "open": True}
    shown = context(goal, request.membership, **more)
    name = "knowledge/page.html" if shown["count"] else "knowledge/empty.html"
    return render_page(request, name, shown, status=status)


@goal_page(Role.VIEWER, "GET")
def document(request: HttpRequest, goal: Goal, document_id: int) -> HttpResponse:
    """Its text; ?at= marks a passage, ?from= goes on reading from there."""
    found = _document(goal, document_id)
    at, start = whole_number(request.GET.get("at")), whole_number(request.GET.get("from"))
    shown = {"goal": goal, "document": found, "extract": extract(found, at, start)}
    may = may_edit(request)
    return render_page(request, "knowledge/document.html", shown | {"can_edit": may})


@goal_page(Role.EDITOR, "POST")
def delete(request: HttpRequest, goal: Goal, document_id: int) -> HttpResponse:
    found = _document(goal, document_id)
    services.delete_document(document=found)
    said = _("“%(name)s” is deleted: the file, its text, and what was made of it.")
    messages.success(request, said % {"name": found.name})
    return redirect("knowledge:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def again(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Read what waits or could not be read; make what is there searchable once more."""
    services.read_again(goal=goal)
    return redirect("knowledge:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal) -> HttpResponse:
    services.stop(goal=goal)
    return redirect("knowledge:page", goal_id=goal.pk)


def _document(goal: Goal, document_id: int) -> Document:
    return get_object_or_404(Document, pk=document_id, knowledge__goal=goal)
