"""The operator's page: who uses what, the queue, the machine, recent failures."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import operator
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.requests import render_page, whole_number
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.operations.overview import overview
from finetune_app.operations.usage import teams_page


@operator("GET")
def overview_page(request: HttpRequest) -> HttpResponse:
    after = whole_number(request.GET.get("after")) or 0
    context = overview() | {"page": teams_page(after)}
    return render_page(request, "operations/overview.html", context)


@operator("POST", audit=AuditAction.JOB_STOPPED)
def stop_job(request: HttpRequest, job_id: int) -> HttpResponse:
    """Stop a job of any team; its people can let it go on."""
    job = get_object_or_404(Job.objects.select_related("team"), pk=job_id)
    set_audit_target(request, job)
    if jobs.ask_stop(job):
        messages.success(request, _("Stopping. Its team can let it go on later."))
    else:
        messages.info(request, _("It had ended, or was stopping already."))
    return redirect("operations:overview")
