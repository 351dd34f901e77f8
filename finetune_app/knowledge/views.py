"""The documents page: add, delete, search and read documents."""

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core import engine_client
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.files import engine_folder
from finetune_app.core.requests import render_page, whole_number
from finetune_app.core.upload_handlers import SizeLimitUploadHandler
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.knowledge import services
from finetune_app.knowledge.extract import extract
from finetune_app.knowledge.forms import SearchForm, UploadForm
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.knowledge.passage_counts import SHOWN_PASSAGES
from finetune_app.knowledge.presenters import CitedPassage, added_message, cite, page_context


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The documents, and the progress of their indexing, which the page polls."""
    after = whole_number(request.GET.get("after"))
    context = page_context(goal, request.membership, after=after)
    name = "knowledge/page.html" if context["count"] else "knowledge/empty.html"
    return render_page(request, name, context, partial="live" if context["count"] else None)


@goal_page(Role.VIEWER, "GET")
def ask(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The passages for a question (?q=), each with the reasons why it was found."""
    form = SearchForm(request.GET)
    question = form.cleaned_data["q"] if form.is_valid() else ""
    passages, problem = _search(goal, question) if question else ([], "")
    context = page_context(
        goal, request.membership, form=form, asked=question, passages=passages, problem=problem
    )
    status = 200 if question else 422
    return render_page(request, "knowledge/page.html", context, partial="found", status=status)


def _search(goal: Goal, question: str) -> tuple[list[CitedPassage], str]:
    """The passages, or the problem. Searches only the goal's own index."""
    knowledge = Knowledge.objects.filter(goal=goal).first()
    if knowledge is None or not knowledge.is_searchable:
        return [], _("The documents cannot be searched yet. Wait until they are read.")
    index = str(engine_folder(knowledge.index_folder))
    try:
        passages = async_to_sync(engine_client.search)(
            index, question, count=SHOWN_PASSAGES, caller=f"goal {goal.pk}"
        )
    except engine_client.EngineUnavailable as problem:
        return [], str(problem)
    existing = set(knowledge.documents.values_list("pk", flat=True))
    return cite(goal, [one for one in passages if one["document"] in existing]), ""


@csrf_exempt  # checked in _add: the limit must be set before the form is read
@goal_page(Role.EDITOR, "POST")
def add(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    request.upload_handlers = [SizeLimitUploadHandler(request), TemporaryFileUploadHandler(request)]
    return _add(request, goal)


@csrf_protect
def _add(request: HttpRequest, goal: Goal) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if getattr(request, "upload_too_large", False):
        problem = _("That is more than %(n)d MB at once. Bring fewer documents at a time.") % {
            "n": settings.MAX_UPLOAD_BYTES // 1024**2
        }
        return _upload_form(request, goal, UploadForm(), 413, problem)
    if not form.is_valid():
        return _upload_form(request, goal, form, 422)
    added = 0
    for file in form.cleaned_data["documents"]:
        try:
            document = services.add_document(goal=goal, by=request.user, file=file, name=file.name)
            added += 1
            if document.knowledge.documents.filter(name=document.name).count() > 1:
                messages.warning(request, _same_name_warning(document))
        except PlainError as error:  # the other files are added
            messages.warning(request, error.message)
    if added:
        messages.success(request, added_message(added))
    return redirect("knowledge:page", goal_id=goal.pk)


def _same_name_warning(document: Document) -> str:
    return _(
        "There are several documents called “%(name)s” now, and all are searched. If the new "
        "one replaces another, delete that."
    ) % {"name": document.name}


def _upload_form(
    request: HttpRequest, goal: Goal, form: UploadForm, status: int, problem: str = ""
) -> HttpResponse:
    context = page_context(goal, request.membership, upload=form, upload_problem=problem, open=True)
    name = "knowledge/page.html" if context["count"] else "knowledge/empty.html"
    return render_page(request, name, context, status=status)


@goal_page(Role.VIEWER, "GET")
def document(request: HttpRequest, goal: Goal, document_id: int) -> HttpResponse:
    """The text of a document: around the passage at offset ?at=, or from offset ?from= on."""
    document = _document_or_404(goal, document_id)
    at, start = whole_number(request.GET.get("at")), whole_number(request.GET.get("from"))
    context = {
        "goal": goal,
        "document": document,
        "extract": extract(document, at, start),
    }
    return render_page(request, "knowledge/document.html", context)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.DOCUMENT_DELETED)
def delete(request: HttpRequest, goal: Goal, document_id: int) -> HttpResponse:
    document = _document_or_404(goal, document_id)
    searched = services.pinned_with(document)
    services.delete_document(document=document)
    message = _("“%(name)s” is deleted: the file, its text, and what was made of it.")
    messages.success(request, message % {"name": document.name})
    if searched:
        messages.warning(
            request,
            _(
                "What looked things up in it cannot answer any more. If it is live, let a version "
                "with today's documents answer instead, in step 6. A test that is not done has to "
                "be started again."
            ),
        )
    return redirect("knowledge:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def again(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Index all documents again, also those that could not be read."""
    services.reindex(goal=goal)
    return redirect("knowledge:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal) -> HttpResponse:
    services.stop(goal=goal)
    return redirect("knowledge:page", goal_id=goal.pk)


def _document_or_404(goal: Goal, document_id: int) -> Document:
    return get_object_or_404(Document, pk=document_id, knowledge__goal=goal)
