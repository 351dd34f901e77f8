"""Export a tuned model: the formats, start, stop, delete, download."""

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download, file_chunks
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.core.requests import render_page, whole_number
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.model_export import model_card, presenters, services
from finetune_app.model_export.models import ModelExport
from finetune_app.model_export.push_presenters import pushes_of
from finetune_app.training.models import Training


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR, audit=AuditAction.MODEL_EXPORT_STARTED)
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: each format of a training, and how far it is. POST: start an export."""
    if request.method == "POST":
        number = whole_number(request.POST.get("training"))
        if number is None:
            raise PlainError(_("Choose which training you want to take with you."))
        training = get_object_or_404(goal.trainings, number=number)
        services.start(
            training=training,
            step=whole_number(request.POST.get("step")),
            format=request.POST.get("format", ""),
            by=request.user,
        )
        return _formats_of(training)
    formats = presenters.formats_context(goal, whole_number(request.GET.get("training")))
    context = {
        **formats,
        "running": presenters.any_running(formats["exports"]),
        "pushes": pushes_of(goal),
        "may_edit": may_edit(request),
    }
    return render_page(request, "model_export/page.html", context, partial="live")


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, export_id: int) -> HttpResponse:
    export = _export_or_404(goal, export_id)
    services.stop(export=export)
    return _formats_of(export.training)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.MODEL_EXPORT_DELETED)
def delete(request: HttpRequest, goal: Goal, export_id: int) -> HttpResponse:
    export = _export_or_404(goal, export_id)
    services.delete(export=export)
    return _formats_of(export.training)


@goal_page(Role.VIEWER, "GET", audit=AuditAction.MODEL_EXPORTED)
def file(request: HttpRequest, goal: Goal, export_id: int) -> StreamingHttpResponse:
    """Download the zip. There is none unless the export passed its check."""
    export = _export_or_404(goal, export_id)
    if not export.is_ready:
        raise PlainError(
            _("There is no such file: it has not been made yet, or it failed its check."),
            status=409,
        )
    path = local_path(export.stored_name)
    if not path.exists():
        raise PlainError(
            _("The file is not here any more. Delete this export and make it again."),
            status=409,
            title=_("The file is gone"),
        )
    response = download(
        request, file_chunks(path), name=export.file, content_type="application/zip"
    )
    response["Content-Length"] = str(path.stat().st_size)
    return response


@goal_page(Role.VIEWER, "GET")
def card(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """The model card of a training, or of its kept ?step, to read."""
    training = _trained_or_404(goal, number)
    step = whole_number(request.GET.get("step"))
    context = {
        "training": training,
        "step": step,
        "card": model_card.as_html(training, step),
    }
    return render_page(request, "model_export/card.html", context)


@goal_page(Role.VIEWER, "GET", audit=AuditAction.MODEL_CARD_EXPORTED)
def card_file(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """The same as README.md."""
    step = whole_number(request.GET.get("step"))
    text = model_card.adapter_card(_trained_or_404(goal, number), step)
    response = HttpResponse(text, content_type="text/markdown; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="README.md"'
    return response


def _trained_or_404(goal: Goal, number: int) -> Training:
    trained = goal.trainings.with_adapter().select_related(
        "base_model", "version__dataset", "job", "goal"
    )
    return get_object_or_404(trained, number=number)


def _export_or_404(goal: Goal, export_id: int) -> ModelExport:
    found = ModelExport.objects.select_related("job", "training__goal")
    return get_object_or_404(found, pk=export_id, training__goal=goal)


def _formats_of(training: Training) -> HttpResponse:
    address = reverse("model_export:page", kwargs={"goal_id": training.goal_id})
    return redirect(f"{address}?training={training.number}")
