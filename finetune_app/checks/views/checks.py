"""Views that start and follow a check, apply a fix and download the rows of a finding."""

from collections.abc import Iterator

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.checks import fixes, services
from finetune_app.checks.health import check_progress
from finetune_app.checks.models import Finding
from finetune_app.checks.table_filters import in_finding
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download
from finetune_app.core.requests import render_page
from finetune_app.datasets import example_export
from finetune_app.datasets.models import Edit, Example
from finetune_app.datasets.services import dataset_of
from finetune_app.datasets.version_rows import Row, Rows
from finetune_app.datasets.views.common import back_to_table, with_undo
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

QUERY_ROWS = 20_000
COLUMNS = ("pk", "number", "split", "source", "messages", "rejected")


@goal_page(Role.EDITOR, "POST")
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Start a thorough check."""
    services.check_all(dataset_of(goal))
    return _back(request, goal)


@goal_page(Role.VIEWER, "GET")
def progress(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The progress of the thorough check, polled every second while it runs."""
    if not request.htmx:
        return redirect("checks:health", goal_id=goal.pk)
    context = {"goal": goal, "polled": True} | check_progress(dataset_of(goal))
    return render_page(request, "checks/_check_progress.html", context)


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal) -> HttpResponse:
    services.stop_check(dataset_of(goal))
    return _back(request, goal, _("The check is cancelled. What was found stays."))


@goal_page(Role.EDITOR, "POST")
def fix(request: HttpRequest, goal: Goal, check_name: str) -> HttpResponse:
    """Apply the fix of a finding; a large one continues in a job."""
    dataset = dataset_of(goal)
    finding = get_object_or_404(dataset.findings, check_name=check_name)
    if finding.fix not in fixes.FIXES:
        raise Http404("this finding has no fix")
    edit = fixes.apply_fix(finding=finding, by=request.user)
    if edit.todo:
        return redirect("datasets:edit", goal_id=goal.pk, edit_id=edit.pk)
    services.check_after_edit(dataset)
    count = edit.changes.count()
    message = ngettext("Done: %(n)s example changed.", "Done: %(n)s examples changed.", count)
    return _back(request, goal, message % {"n": count}, edit)


@goal_page(Role.VIEWER, "GET", audit=AuditAction.DATA_EXPORTED)
def download_finding(request: HttpRequest, goal: Goal, check_name: str) -> HttpResponseBase:
    """The current rows of a finding as a CSV file."""
    finding = get_object_or_404(Finding.objects.light(), dataset__goal=goal, check_name=check_name)
    pieces = example_export.table_pieces(rows_of(finding), example_export.TableLayout())
    return download(
        request,
        pieces,
        content_type="text/csv; charset=utf-8",
        name=f"{finding.check_name.replace('_', '-')}.csv",
    )


def rows_of(finding: Finding) -> Rows:
    """The finding's rows in the order of their keys. They are read QUERY_ROWS at a time, because
    there may be a million of them."""

    def rows() -> Iterator[Row]:
        found = Example.objects.kept().filter(in_finding(finding)).order_by("pk")
        last = 0
        while some := list(found.filter(pk__gt=last).values_list(*COLUMNS)[:QUERY_ROWS]):
            last = some[-1][0]
            for _pk, number, split, source, turns, rejected in some:
                row: Row = {
                    "id": number,
                    "split": split,
                    "source": source,
                    "messages": turns or [{"role": "user", "content": ""}],
                }
                if rejected:
                    row["rejected"] = rejected
                yield row

    return rows


def _back(
    request: HttpRequest, goal: Goal, message: str = "", edit: Edit | None = None
) -> HttpResponse:
    """Redirect to the page whose button was pressed."""
    if request.POST.get("from") != "health":
        return back_to_table(request, goal, message=message, edit=edit)
    if message:
        text = with_undo(goal, message, edit) if edit else message
        messages.success(request, text, extra_tags="undo" if edit else "")
    return redirect("checks:health", goal_id=goal.pk)
