"""The page of an import at every step, its cancellation, and the download of rejected rows."""

from collections.abc import Mapping
from pathlib import Path

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download
from finetune_app.core.errors import PlainError
from finetune_app.core.files import newest_path
from finetune_app.core.requests import render_page
from finetune_app.datasets.models import Import
from finetune_app.datasets.views.common import back_to_table
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.imports.import_rows import REJECTED
from finetune_app.imports.presenters import (
    confirm_context,
    done_context,
    progress_context,
    read_options_form,
    rejected_rows_csv,
    thought_sentences,
)
from finetune_app.imports.services import cancel_import


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """The page for the import's step; while a job runs, htmx polls it."""
    item = get_import(goal, import_id)
    context: dict[str, object] = {"goal": goal, "item": item, "can_edit": may_edit(request)}
    if item.step in (Import.Step.LOOKING, Import.Step.READING, Import.Step.ADDING):
        context |= progress_context(item)
        return render_page(request, "imports/progress.html", context, partial="waiting")
    if request.htmx and not request.htmx.boosted:
        response = HttpResponse(status=200)
        response["HX-Redirect"] = reverse("imports:detail", args=[goal.pk, item.pk])
        return response
    name, more = _page_of(item)
    return render_page(request, f"imports/{name}.html", {**context, **more})


def _page_of(item: Import) -> tuple[str, Mapping[str, object]]:
    """The template for a step at which no job runs, and its context."""
    if item.step == Import.Step.DONE:
        return "done", done_context(item)
    if item.step == Import.Step.FAILED:
        return "failed", {"shape_form": read_options_form(item)}
    if item.step == Import.Step.PLANNED:
        return "planned", {"plan": item.plan, "thoughts": thought_sentences(item)}
    return "confirm", confirm_context(item)


@goal_page(Role.EDITOR, "POST")
def cancel(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    item = get_import(goal, import_id)
    name = item.file_name
    if item.step == Import.Step.DONE:
        raise PlainError(_("This import is done already. Undo it on the dataset page."), status=409)
    cancel_import(item=item)
    return back_to_table(request, goal, message=_("%s was not added.") % name)


@goal_page(Role.VIEWER, "GET", audit=AuditAction.DATA_EXPORTED)
def rejected_rows(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponseBase:
    """The rejected rows as CSV: line, reason, text."""
    item = get_import(goal, import_id)
    if not item.rejected_count:
        raise Http404("nothing was left out")
    path = _rejected_path(item)
    return download(
        request,
        rejected_rows_csv(path),
        name=f"left-out-{item.pk}.csv",
        content_type="text/csv; charset=utf-8",
    )


def _rejected_path(item: Import) -> Path:
    """Raises Http404 where the file is gone."""
    try:
        path = newest_path(f"{item.folder}/{REJECTED}")
    except FileNotFoundError as error:
        raise Http404("the list is gone") from error
    if not path.exists():
        raise Http404("the list is gone")
    return path


def get_import(goal: Goal, import_id: int) -> Import:
    """The goal's import; raises Http404 for any other, and for a cancelled one."""
    found = Import.objects.select_related("job", "dataset__goal__team")
    found = found.exclude(step=Import.Step.CANCELLED)
    return get_object_or_404(found, pk=import_id, dataset__goal=goal)
