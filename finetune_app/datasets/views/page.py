"""The dataset itself: the table, the findings, their fixes, undo."""

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.core.requests import HttpRequest, whole_number
from finetune_app.datasets import checks, fixes
from finetune_app.datasets.health import under_way
from finetune_app.datasets.models import Edit, Import
from finetune_app.datasets.services import check_all, dataset_of, stop_check, undo
from finetune_app.datasets.views.common import (
    back_to_table,
    render,
    table,
    with_undo,
)
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

LISTED = 50  # changes on a page


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    dataset = dataset_of(goal)
    context = table(request, goal, dataset)
    empty = not dataset.examples.arrived().exists()
    template = "empty" if empty else "page"
    response = render(request, template, context, partial=None if empty else "list")
    if request.htmx:  # the address says what is chosen, and nothing of what is not
        query = context["filters"].here.rstrip("?")
        response["HX-Push-Url"] = reverse("datasets:page", args=[goal.pk]) + query
    return response


@goal_page(Role.EDITOR, "POST")
def check(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Look at everything again, thoroughly: large sets are not checked after every edit."""
    check_all(dataset_of(goal))
    return _back(request, goal)


@goal_page(Role.VIEWER, "GET")
def checking(request: HttpRequest, goal: Goal) -> HttpResponse:
    """How far the thorough check is; a page asks every second while it is under way."""
    if not request.htmx:
        return redirect("datasets:health", goal_id=goal.pk)
    context = {"goal": goal, "polled": True} | under_way(dataset_of(goal))
    return render(request, "_checking", context)


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal) -> HttpResponse:
    stop_check(dataset_of(goal))
    return _back(request, goal, _("The check is cancelled. What was found stays."))


@goal_page(Role.EDITOR, "POST")
def fix(request: HttpRequest, goal: Goal, check_name: str) -> HttpResponse:
    dataset = dataset_of(goal)
    finding = get_object_or_404(dataset.findings, check_name=check_name)
    if finding.fix not in fixes.FIXES:
        raise Http404("this finding has no fix")
    edit = fixes.apply(finding=finding, by=request.user)
    if edit.todo:
        return redirect("datasets:edit", goal_id=goal.pk, edit_id=edit.pk)
    checks.after_edit(dataset)
    count = edit.changes.count()
    said = ngettext("Done: %(n)s example changed.", "Done: %(n)s examples changed.", count)
    return _back(request, goal, said % {"n": count}, edit)


@goal_page(Role.VIEWER, "GET")
def changes(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Everything that was done to the examples, the newest first, each with its undo."""
    edits = dataset_of(goal).edits.select_related("by").order_by("-pk")
    edits = edits.filter(Q(source_import=None) | Q(source_import__step=Import.Step.DONE))
    if before := whole_number(request.GET.get("before")):
        edits = edits.filter(pk__lt=before)
    some = list(edits[: LISTED + 1])
    context = {
        "goal": goal,
        "edits": some[:LISTED],
        "can_edit": may_edit(request),
        "next": f"?before={some[LISTED - 1].pk}" if len(some) > LISTED else "",
    }
    return render(request, "changes", context)


def _back(
    request: HttpRequest, goal: Goal, said: str = "", edit: Edit | None = None
) -> HttpResponse:
    """To the page whose button it was."""
    if request.POST.get("from") != "health":
        return back_to_table(request, goal, said=said, edit=edit)
    if said:
        text = with_undo(goal, said, edit) if edit else said
        messages.success(request, text, extra_tags="undo" if edit else "")
    return redirect("datasets:health", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def undo_edit(request: HttpRequest, goal: Goal, edit_id: int) -> HttpResponse:
    dataset = dataset_of(goal)
    edit = get_object_or_404(dataset.edits, pk=edit_id)
    begun = dataset.edits.filter(undoes=edit).exclude(todo={}).first()
    if begun:  # a second click
        return redirect("datasets:edit", goal_id=goal.pk, edit_id=begun.pk)
    back, left = undo(edit=edit, by=request.user)
    if back.todo:
        return redirect("datasets:edit", goal_id=goal.pk, edit_id=back.pk)
    checks.after_edit(dataset)
    said = _("Undone.")
    if left:
        said += " " + ngettext(
            "%(n)s example was changed since and stays as it is.",
            "%(n)s examples were changed since and stay as they are.",
            left,
        ) % {"n": left}
    return back_to_table(request, goal, said=said, edit=back)
