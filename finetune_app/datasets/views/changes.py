"""The list of all edits of a dataset, and the undo of one."""

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.requests import whole_number
from finetune_app.datasets.events import examples_changed
from finetune_app.datasets.models import Dataset, Import
from finetune_app.datasets.services import dataset_of, undo
from finetune_app.datasets.views.common import back_to_table, render
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

LISTED = 50  # changes on a page


@goal_page(Role.VIEWER, "GET")
def changes(request: HttpRequest, goal: Goal) -> HttpResponse:
    """All edits of the examples, the newest first, each with an undo button."""
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
    examples_changed.send(Dataset, dataset=dataset)
    message = _("Undone.")
    if left:
        message += " " + ngettext(
            "%(n)s example was changed since and stays as it is.",
            "%(n)s examples were changed since and stay as they are.",
            left,
        ) % {"n": left}
    return back_to_table(request, goal, message=message, edit=back)
