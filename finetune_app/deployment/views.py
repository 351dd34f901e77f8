"""Step 6: take the tuned model with you."""

from django.http import FileResponse, Http404, HttpResponse

from finetune_app.accounts.models import Role
from finetune_app.core.requests import HttpRequest, render_page
from finetune_app.deployment import services
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    trained = list(
        goal.trainings.exclude(adapter_sha256="").select_related("base_model", "version", "job")
    )
    newest = trained[0] if trained else None
    return render_page(request, "deployment/page.html", {"trained": trained, "newest": newest})


@goal_page(Role.VIEWER, "GET")
def adapter(request: HttpRequest, goal: Goal, number: int) -> FileResponse:
    training = (
        goal.trainings.select_related("base_model", "goal").filter(number=number).first()
    )
    if training is None:
        raise Http404("no such training")
    archive, name = services.adapter_archive(training)
    return FileResponse(archive, as_attachment=True, filename=name, content_type="application/zip")
