"""The operator's page: who uses what, the queue, the machine; and a copy of one's own data."""

from allauth.account.decorators import reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts import services as accounts
from finetune_app.accounts.access import account, operator
from finetune_app.accounts.models import JobPriority, Team
from finetune_app.accounts.next_page import page_before
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.downloads import download_file
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.operations import personal_data
from finetune_app.operations.overview import overview
from finetune_app.operations.usage import limits, teams_page


@operator("GET")
def overview_page(request: HttpRequest) -> HttpResponse:
    after = whole_number(request.GET.get("after")) or 0
    context = overview() | {"page": teams_page(after), "limits": limits()}
    context["priorities"] = JobPriority.choices
    return render_page(request, "operations/overview.html", context)


@operator("POST", audit=AuditAction.JOB_STOPPED)
def stop_job(request: HttpRequest, job_id: int) -> HttpResponse:
    """Stop a job of any team; its people can let it go on."""
    job = get_object_or_404(Job.objects.select_related("team"), pk=job_id)
    set_audit_target(request, job)
    if jobs.ask_stop(job):
        text = _("Stopping. Its team can let it go on later; a batch is cancelled.")
        messages.success(request, text)
    else:
        messages.info(request, _("It had ended, or was stopping already."))
    return redirect("operations:overview")


@operator("POST", audit=AuditAction.JOB_PRIORITY_CHANGED)
def set_priority(request: HttpRequest, team_id: int) -> HttpResponse:
    """When the jobs of a team are run."""
    team = get_object_or_404(Team, pk=team_id)
    set_audit_target(request, team)
    chosen = whole_number(request.POST.get("priority"))
    if chosen not in JobPriority.values:
        raise PlainError(_("Choose when the jobs of this team are run."))
    priority = JobPriority(chosen)
    accounts.set_job_priority(team=team, priority=priority)
    said = {"team": team, "when": priority.label}
    messages.success(request, _("Jobs of %(team)s are run: %(when)s.") % said)
    return redirect(page_before(request))


@account("GET", "POST", audit=AuditAction.OWN_DATA_EXPORTED)
def my_data(request: HttpRequest) -> HttpResponseBase:
    """POST answers with the copy. allauth asks again who is there before the page is shown."""
    if request.method != "POST":
        require_confirmation(request)
        return render_page(request, "operations/my_data.html")
    try:
        require_confirmation(request)
    except ReauthenticationRequired:
        raise PlainError(
            _("Some time has passed. Open the page again and confirm that it is you."),
            status=409,
        ) from None
    file = personal_data.write_copy(request.user)
    return download_file(request, file, name="my-data.zip", content_type="application/zip")


require_confirmation = reauthentication_required(lambda request: None)
