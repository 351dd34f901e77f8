"""Take a tuned model with you: what there is, make it, stop, delete, download."""

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.core.downloads import download as sent
from finetune_app.core.downloads import pieces_of
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.core.requests import HttpRequest, render_page, whole_number
from finetune_app.exports import services, showing
from finetune_app.exports.models import Export
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: each form and how far it is. POST: make one."""
    if request.method == "POST":
        number = whole_number(request.POST.get("training"))
        if number is None:
            raise PlainError(_("Choose which training you want to take with you."))
        training = get_object_or_404(goal.trainings, number=number)
        services.start(training=training, form=request.POST.get("form", ""), by=request.user)
        return redirect("exports:page", goal_id=goal.pk)
    takings = showing.of(goal)
    context = {
        "takings": takings,
        "going": showing.is_going(takings),
        "may_edit": bool(request.membership and request.membership.may(Role.EDITOR)),
    }
    return render_page(request, "exports/page.html", context, partial="live")


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, export_id: int) -> HttpResponse:
    services.stop(export=_of(goal, export_id))
    return redirect("exports:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def delete(request: HttpRequest, goal: Goal, export_id: int) -> HttpResponse:
    services.delete(export=_of(goal, export_id))
    return redirect("exports:page", goal_id=goal.pk)


@goal_page(Role.VIEWER, "GET")
def file(request: HttpRequest, goal: Goal, export_id: int) -> StreamingHttpResponse:
    """The zip, whose figures the page shows. Without a check that it passed there is none."""
    export = _of(goal, export_id)
    if not export.is_ready:
        raise PlainError(
            _("There is no such file: it was not made yet, or was refused."), status=409
        )
    path = local_path(export.kept_as)
    if not path.exists():
        raise PlainError(
            _("The file is not here any more. Delete this export and make it again."),
            status=409,
            title=_("The file is gone"),
        )
    response = sent(request, pieces_of(path), name=export.file, content_type="application/zip")
    response["Content-Length"] = str(path.stat().st_size)
    return response


def _of(goal: Goal, export_id: int) -> Export:
    found = Export.objects.select_related("job", "training__goal")
    return get_object_or_404(found, pk=export_id, training__goal=goal)
