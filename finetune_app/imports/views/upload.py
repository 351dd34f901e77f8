"""The page with the upload form, and the upload in one request."""

from django.core.files.base import ContentFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.core.upload_handlers import SizeLimitUploadHandler
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.imports.forms import UploadForm
from finetune_app.imports.presenters import upload_context
from finetune_app.imports.services import start_import, too_large_message


@goal_page(Role.EDITOR, "GET")
def add(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The page with the upload form."""
    return render_page(
        request, "imports/add.html", {"goal": goal, **upload_context(goal, request.user)}
    )


@csrf_exempt  # checked in _upload: the size limit must be in place before the form is read
@goal_page(Role.EDITOR, "POST")
def upload(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    """Store a file or pasted rows and start an import."""
    request.upload_handlers = [SizeLimitUploadHandler(request), TemporaryFileUploadHandler(request)]
    return _upload(request, goal)


@csrf_protect
def _upload(request: HttpRequest, goal: Goal) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if getattr(request, "upload_too_large", False):
        return _render_form_again(request, goal, UploadForm(), too_large_message(), 413)
    if not form.is_valid():
        return _render_form_again(
            request, goal, form, _("The file did not arrive completely. Try again."), 400
        )
    file, text = form.cleaned_data["file"], form.cleaned_data["text"]
    if not file and not text.strip():
        return _render_form_again(request, goal, form, _("Choose a file, or paste some rows."), 400)
    name = file.name if file else _("pasted rows")
    try:
        item = start_import(
            dataset=dataset_of(goal),
            by=request.user,
            file=file or ContentFile(text.encode("utf-8", "replace")),
            name=name,
        )
    except PlainError as error:
        return _render_form_again(request, goal, form, error.message, error.status)
    return redirect("imports:detail", goal_id=goal.pk, import_id=item.pk)


def _render_form_again(
    request: HttpRequest, goal: Goal, form: UploadForm, problem: str, status: int
) -> HttpResponse:
    context = {
        "goal": goal,
        **upload_context(goal, request.user, form=form, problem=problem),
    }
    return render_page(request, "imports/add.html", context, status=status)
