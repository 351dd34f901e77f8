"""A file on its way in: upload, the question about its columns, progress, what was left out."""

import json
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from finetune_app.accounts.models import Role
from finetune_app.core.charts import bar
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.core.requests import HttpRequest
from finetune_app.core.templatetags.ui import size
from finetune_app.datasets.forms import MappingForm, ShapeForm, UploadForm
from finetune_app.datasets.mapping import BadRow, conversation
from finetune_app.datasets.models import Edit, Import
from finetune_app.datasets.services import (
    cancel_import,
    confirm_import,
    dataset_of,
    look_again,
    start_import,
)
from finetune_app.datasets.services.imports import too_large
from finetune_app.datasets.uploads import CappedUpload
from finetune_app.datasets.views.common import (
    answer_pairs,
    back_to_table,
    may_edit,
    render,
)
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.jobs.services import queue_place


@goal_page(Role.EDITOR, "GET")
def add(request: HttpRequest, goal: Goal) -> HttpResponse:
    return render(request, "add", {"goal": goal, "upload": UploadForm()})


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
            dataset=dataset_of(goal), by=request.user,
            file=file or ContentFile(text.encode("utf-8", "replace")), name=name,
        )
    except PlainError as error:
        return _asked_again(request, goal, form, error.message, error.status)
    return redirect("datasets:import", goal_id=goal.pk, import_id=item.pk)


def _asked_again(
    request: HttpRequest, goal: Goal, form: UploadForm, problem: str, status: int
) -> HttpResponse:
    context = {"goal": goal, "upload": form, "problem": problem}
    return render(request, "add", context, status=status)


@goal_page(Role.VIEWER, "GET")
def show(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """The page of an import, whatever step it is at; asked again by htmx while work goes on."""
    item = _import(goal, import_id)
    context = {"goal": goal, "item": item, "can_edit": may_edit(request)}
    if item.step in (Import.Step.LOOKING, Import.Step.READING):
        return render(request, "import_wait", context | _waiting(item), partial="waiting")
    if request.htmx and not request.htmx.boosted:
        response = HttpResponse(status=200)
        response["HX-Redirect"] = _where_next(goal, item)
        return response
    if item.step == Import.Step.DONE:
        return render(request, "import_done", context | _done(item))
    if item.step == Import.Step.FAILED:
        form = ShapeForm(shape=item.shape)
        return render(request, "import_failed", context | {"shape_form": form})
    mapping = MappingForm(columns=item.shape["columns"], mapping=item.mapping)
    return render(request, "import_confirm", context | _question(item, mapping, item.mapping))


def _where_next(goal: Goal, item: Import) -> str:
    return reverse("datasets:import", kwargs={"goal_id": goal.pk, "import_id": item.pk})


def _waiting(item: Import) -> dict[str, Any]:
    job = item.job
    done, total = (job.done, job.total) if job else (0, 0)
    place = queue_place(job) if job else 0
    facts = [_("%(done)s of %(all)s") % {"done": size(done), "all": size(total)}] if done else []
    return {
        "job": job,
        "bar": bar(done, total),
        "facts": facts,
        "place": place,
        "headline": _("Reading the rows") if item.step == "reading" else _("Looking at the file"),
    }


@goal_page(Role.EDITOR, "POST")
def confirm(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """The columns: shown again with other samples ("look"), or read ("add")."""
    item = _import(goal, import_id)
    if item.step != Import.Step.CONFIRM:
        return redirect("datasets:import", goal_id=goal.pk, import_id=item.pk)
    form = MappingForm(request.POST, columns=item.shape["columns"], mapping=item.mapping)
    context = {"goal": goal, "item": item, "can_edit": True}
    if "add" not in request.POST or not form.is_valid():
        known = set(item.shape["columns"])
        sent = {name: request.POST.get(name, "") for name in form.fields}
        chosen = {name: column if column in known else "" for name, column in sent.items()}
        chosen["style"] = form.style
        if "add" not in request.POST:  # still choosing: what is missing is asked next
            form = MappingForm(columns=item.shape["columns"], mapping=chosen)
        question = _question(item, form, chosen)
        status = 422 if form.errors else 200
        return render(
            request, "import_confirm", context | question, status=status, partial="samples"
        )
    confirm_import(item=item, mapping=form.mapping())
    return redirect("datasets:import", goal_id=goal.pk, import_id=item.pk)


@goal_page(Role.EDITOR, "POST")
def again(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """Look at the file once more, read another way."""
    item = _import(goal, import_id)
    form = ShapeForm(request.POST, shape=item.shape)
    if form.is_valid():
        look_again(item=item, given=form.given())
    return redirect("datasets:import", goal_id=goal.pk, import_id=item.pk)


@goal_page(Role.EDITOR, "POST")
def cancel(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    item = _import(goal, import_id)
    name = item.file_name
    if item.step == Import.Step.DONE:
        raise PlainError(_("This import is done already. Undo it on the dataset page."), status=409)
    cancel_import(item=item)
    return back_to_table(request, goal, said=_("%s was not added.") % name)


@goal_page(Role.VIEWER, "GET")
def rejected(request: HttpRequest, goal: Goal, import_id: int) -> FileResponse:
    """Every row that was left out, with its line and the reason (JSON lines)."""
    item = _import(goal, import_id)
    path = local_path(f"{item.folder}/rejected.jsonl")
    if not item.rejected_count or not path.exists():
        raise Http404("nothing was left out")
    return FileResponse(
        path.open("rb"), as_attachment=True, filename=f"left-out-{item.pk}.jsonl",
        content_type="application/x-ndjson",
    )


def _import(goal: Goal, import_id: int) -> Import:
    return get_object_or_404(
        Import.objects.select_related("job", "dataset"), pk=import_id, dataset__goal=goal
    )


def _done(item: Import) -> dict[str, Any]:
    edit = Edit.objects.filter(brought=item, undone_at=None).first()
    return {"edit": edit, "counts": item.dataset.examples.kept().counts()}


# ---- The question: which column is what? ----


def _question(item: Import, form: MappingForm, mapping: dict[str, str]) -> dict[str, Any]:
    shape = item.shape
    complete = mapping["style"] == "messages" or bool(mapping["prompt"] and mapping["answer"])
    guessed = all(mapping.get(k, "") == item.mapping.get(k, "") for k in form.fields)
    first = shape["rows"]
    return {
        "form": form,
        "shape": shape,
        "shape_form": ShapeForm(shape=shape),
        "samples": _samples(first, mapping) if complete else [],
        "columns": [
            {"name": name, "filled": shape["filled"].get(name, 0),
             "values": [_short(row["cells"].get(name)) for row in first[:2]]}
            for name in shape["columns"][:50]
        ],
        "first_lines": [row["line"] for row in first[:2]],
        "complete": complete,
        "guessed": guessed,
        "usable": shape["usable"] if guessed else None,
        "left_out": shape["row_count"] - shape["usable"] if guessed else shape["unreadable"],
        "likely": "" if complete else _likely(shape, mapping),
        "missing": next((n for n in ("answer", "prompt") if not mapping.get(n)), "")
        if not complete else "",
    }


def _likely(shape: dict[str, Any], mapping: dict[str, str]) -> str:
    """The column with the most text among those that have no part yet."""
    taken = set(mapping.values())
    left = [name for name in shape["columns"] if name not in taken]

    def says(name: str) -> int:
        return sum(len(str(row["cells"].get(name) or "")) for row in shape["rows"])

    return max(left, key=says, default="")


def _samples(rows: list[dict[str, Any]], mapping: dict[str, str]) -> list[dict[str, Any]]:
    """Three rows as the model will learn them; rows that cannot be used are shown as such."""
    samples, bad = [], []
    for row in rows:
        try:
            messages = conversation(row["cells"], mapping)
        except BadRow as error:
            bad.append({"line": row["line"], "problem": str(error)})
            continue
        *before, answer = messages
        samples.append({
            "line": row["line"], "before": before, "answer": answer["content"],
            "pairs": answer_pairs(answer["content"]),
        })
    return (samples or bad)[:3]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value) if value is not None else ""
    return text if len(text) <= 120 else text[:120] + "…"
