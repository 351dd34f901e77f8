"""Views to empty the trash."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.datasets import status_counts
from finetune_app.datasets.services import count_label, dataset_of, empty_trash
from finetune_app.datasets.views.common import back_to_table, render
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.EDITOR, "GET", "POST", audit=AuditAction.TRASH_EMPTIED)
def empty(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET asks for confirmation and shows which versions hold the examples; POST deletes, at least
    the first part of a large trash."""
    dataset = dataset_of(goal)
    going = request.method == "POST"
    gone = empty_trash(dataset=dataset) if going else 0
    dataset.refresh_from_db()
    count = status_counts.counts(dataset)["trash"]
    if going and not count:
        reply = back_to_table(request, goal, message=_("Deleted for good. The trash is empty."))
        return HttpResponse(headers={"HX-Redirect": reply["Location"]}) if request.htmx else reply
    if not count:
        return redirect("datasets:page", goal_id=goal.pk)
    context = {
        "goal": goal,
        "count": count_label(count),
        "going": going,
        "gone": count_label(gone),
        "dataset": dataset,
    }
    return render(request, "trash", context, partial="going")
