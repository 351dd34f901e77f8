"""Frozen versions: make one, look at it, download it."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from django.contrib import messages
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.core.files import local_path
from finetune_app.core.requests import HttpRequest
from finetune_app.datasets.models import Version
from finetune_app.datasets.services import dataset_of, freeze
from finetune_app.datasets.text import last_said
from finetune_app.datasets.views.common import render
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet would run or swallow these


@goal_page(Role.EDITOR, "POST")
def make(request: HttpRequest, goal: Goal) -> HttpResponse:
    version, new = freeze(dataset=dataset_of(goal), by=request.user)
    said = _("Version %(n)s is frozen.") if new else _(
        "Nothing changed since version %(n)s, so that one stands."
    )
    messages.success(request, said % {"n": version.number})
    return redirect("datasets:version", goal_id=goal.pk, number=version.number)


@goal_page(Role.VIEWER, "GET")
def show(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    version = _version(goal, number)
    context = {
        "goal": goal,
        "version": version,
        "trainings": version.trainings.all(),
        "others": version.dataset.versions.exclude(pk=version.pk),
        "total": sum(version.counts.values()),
    }
    return render(request, "version", context)


@goal_page(Role.VIEWER, "GET")
def download(request: HttpRequest, goal: Goal, number: int, form: str) -> HttpResponseBase:
    version = _version(goal, number)
    path = local_path(version.stored_name)
    if form not in ("jsonl", "csv") or not path.exists():
        raise Http404("there is no such file")
    name = f"examples-version-{version.number}.{form}"
    if form == "jsonl":
        return FileResponse(
            path.open("rb"), as_attachment=True, filename=name, content_type="application/x-ndjson"
        )
    response = StreamingHttpResponse(csv_lines(path), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class _Echo:
    def write(self, value: str) -> str:
        return value


def csv_lines(path: Path) -> Iterator[str]:
    """The version as CSV. A cell that a spreadsheet would run gets a ' in front; a conversation
    of several turns is given whole, as JSON, in its own column."""
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(["number", "split", "prompt", "answer", "messages"])
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            said = row["messages"]
            whole = json.dumps(said, ensure_ascii=False) if len(said) != 2 else ""
            cells = [str(row["id"]), row["split"], last_said(said, "user"),
                     last_said(said, "assistant"), whole]
            yield writer.writerow([safe_cell(cell) for cell in cells])


def safe_cell(text: str) -> str:
    return "'" + text if text.startswith(DANGEROUS) else text


def _version(goal: Goal, number: int) -> Version:
    return get_object_or_404(
        Version.objects.select_related("dataset", "created_by"), dataset__goal=goal, number=number
    )
