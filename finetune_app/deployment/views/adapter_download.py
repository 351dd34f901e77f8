"""Download of a trained adapter."""

from django.http import Http404, StreamingHttpResponse

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download_file
from finetune_app.core.requests import whole_number
from finetune_app.deployment.adapter_archive import adapter_archive
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.VIEWER, "GET", audit=AuditAction.MODEL_EXPORTED)
def adapter(request: HttpRequest, goal: Goal, number: int) -> StreamingHttpResponse:
    """Of the best step, or of a kept ?step."""
    training = goal.trainings.select_related("base_model", "goal").filter(number=number).first()
    if training is None:
        raise Http404("no such training")
    file, name = adapter_archive(training, whole_number(request.GET.get("step")))
    return download_file(request, file, name=name, content_type="application/zip")
