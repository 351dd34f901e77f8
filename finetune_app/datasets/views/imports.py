"""A file on its way in: upload, progress, what came of it, what was left out."""

from typing import Any

from django.core.files.base import ContentFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from finetune_app.accounts.models import Role
from finetune_app.core.charts import bar
from finetune_app.core.downloads import download
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.core.requests import HttpRequest
from finetune_app.core.templatetags.ui import about, size
from finetune_app.datasets import exporting
from finetune_app.datasets.forms import ShapeForm, UploadForm
from finetune_app.datasets.models import Edit, Import, Upload
from finetune_app.datasets.services import cancel_import, dataset_of, start_import
from finetune_app.datasets.services.imports import too_large
from finetune_app.datasets.uploads import CappedUpload
from finetune_app.datasets.views.columns import question
from finetune_app.datasets.views.common import back_to_table, may_edit, render
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job
from finetune_app.jobs.services import queue_place


@goal_page(Role.EDITOR, "GET")
def add(request: HttpRequest, goal: Goal) -> HttpResponse:
    return render(request, "add", {"goal": goal, **bringing(request, goal)})


def bringing(request: HttpRequest, goal: Goal) -> dict[str, Any]:
    """The context of the form that brings a file."""
    unfinished = Upload.objects.filter(dataset__goal=goal, by=request.user)
    return {"upload": UploadForm(), "unfinished": unfinished.order_by("at")}


@csrf_exempt  # checked in _upload: the cap must be in place before the form is read
@goal_page(Role.EDITOR, "POST")
def upload(request: HttpRequest, goal: Goal) -> HttpResponseBase:
    request.upload_handlers = [CappedUpload(request), TemporaryFileUploadHandler(request)]
    return _upload(request, goal)


@csrf_protect
def _upload(request: HttpRequest, goal: Goal) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if getattr(request, "upload_too_large", False):
        return _asked_again(request, goal, UploadForm(), too_large(), 413)
    if not form.is_valid():
        return _asked_again(request, goal, form, _("That did not arrive whole. Try it again."), 400)
    file, text = form.cleaned_data["file"], form.cleaned_data["text"]
    if not file and not text.strip():
        return _asked_again(request, goal, form, _("Choose a file, or paste some rows."), 400)
    name = file.name if file else _("pasted rows")
    try:
        item = start_import(
            dataset=dataset_of(goal),
            by=request.user,
            file=file or ContentFile(text.encode("utf-8", "replace")),
            name=name,
        )
    except PlainError as error:
        return _asked_again(request, goal, form, error.message, error.status)
    return redirect("datasets:import", goal_id=goal.pk, import_id=item.pk)


def _asked_again(
    request: HttpRequest, goal: Goal, form: UploadForm, problem: str, status: int
) -> HttpResponse:
    context = {"goal": goal, **bringing(request, goal), "upload": form, "problem": problem}
    return render(request, "add", context, status=status)


@goal_page(Role.VIEWER, "GET")
def show(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """The page of an import, whatever step it is at; asked again by htmx while work goes on."""
    item = import_of(goal, import_id)
    context = {"goal": goal, "item": item, "can_edit": may_edit(request)}
    if item.step in (Import.Step.LOOKING, Import.Step.READING, Import.Step.ADDING):
        return render(request, "import_wait", context | _waiting(item), partial="waiting")
    if request.htmx and not request.htmx.boosted:
        response = HttpResponse(status=200)
        response["HX-Redirect"] = _where_next(goal, item)
        return response
    if item.step == Import.Step.DONE:
        return render(request, "import_done", context | _done(item))
    if item.step == Import.Step.FAILED:
        return render(request, "import_failed", context | {"shape_form": _another_way(item)})
    if item.step == Import.Step.PLANNED:
        return render(request, "import_planned", context | {"plan": item.plan})
    return render(request, "import_confirm", context | question(item))


def _another_way(item: Import) -> ShapeForm | None:
    """None for what is no text in any encoding, unless another file of the zip may be."""
    hopeless = item.job is not None and item.job.error_code == "not_text"
    if hopeless and not item.shape.get("members"):
        return None
    return ShapeForm(shape=item.shape)


def _where_next(goal: Goal, item: Import) -> str:
    return reverse("datasets:import", kwargs={"goal_id": goal.pk, "import_id": item.pk})


def _waiting(item: Import) -> dict[str, Any]:
    job = item.job
    headline = _("Looking at the file")
    if item.step != Import.Step.LOOKING:
        adding = job is not None and job.phase == "adding"
        headline = _("Adding the rows") if adding else _("Reading the rows")
    return {
        "job": job,
        "bar": bar(job.done, job.total) if job else "",
        "facts": _pace(job) if job else [],
        "place": queue_place(job) if job else 0,
        "headline": headline,
    }


def _pace(job: Job) -> list[str]:
    """How far it is, how fast, how long still. Reading counts bytes, and says the rows itself."""
    if not job.done:
        return []
    if job.unit == "bytes":
        facts = [_("%(done)s of %(all)s") % {"done": size(job.done), "all": size(job.total)}]
    else:
        words = {"n": f"{int(job.done):,}", "all": f"{int(job.total):,}"}
        facts = [_("%(n)s of %(all)s rows") % words]
        seconds = (timezone.now() - job.running_at).total_seconds() if job.running_at else 0
        if seconds >= 1:
            facts.append(_("%(n)s a second") % {"n": f"{int(job.done / seconds):,}"})
    if job.seconds_left is not None:
        facts.append(_("%(time)s left") % {"time": about(job.seconds_left)})
    return facts


@goal_page(Role.EDITOR, "POST")
def cancel(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    item = import_of(goal, import_id)
    name = item.file_name
    if item.step == Import.Step.DONE:
        raise PlainError(_("This import is done already. Undo it on the dataset page."), status=409)
    cancel_import(item=item)
    return back_to_table(request, goal, said=_("%s was not added.") % name)


@goal_page(Role.VIEWER, "GET")
def rejected(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponseBase:
    """Every row that was left out, with its line and the reason, for a spreadsheet."""
    item = import_of(goal, import_id)
    path = local_path(f"{item.folder}/rejected.jsonl")
    if not item.rejected_count or not path.exists():
        raise Http404("nothing was left out")
    return download(
        request,
        exporting.left_out_pieces(path),
        name=f"left-out-{item.pk}.csv",
        content_type="text/csv; charset=utf-8",
    )


def import_of(goal: Goal, import_id: int) -> Import:
    wanted = Import.objects.select_related("job", "dataset__goal__team")
    wanted = wanted.exclude(step=Import.Step.CANCELLED)
    return get_object_or_404(wanted, pk=import_id, dataset__goal=goal)


def _done(item: Import) -> dict[str, Any]:
    edit = Edit.objects.filter(source_import=item, undone_at=None, removes_rows=False).first()
    return {"edit": edit, "plan": item.plan, "counts": item.dataset.examples.kept().counts()}
