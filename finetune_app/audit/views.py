"""The audit log of a team, for its owners: a page and a file."""

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import member
from finetune_app.accounts.models import Membership, Role, Team
from finetune_app.accounts.requests import HttpRequest
from finetune_app.audit import export, presenters
from finetune_app.audit.filters import Filters, page_of
from finetune_app.audit.models import AuditEntry
from finetune_app.audit.services import OF_NO_TEAM
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download
from finetune_app.core.requests import render_page

TEAM_ACTIONS = [(a.value, a.label) for a in AuditAction if a not in OF_NO_TEAM]


@member(Role.OWNER, "GET")
def page(request: HttpRequest) -> HttpResponse:
    """What was done in the team, newest first."""
    filters = Filters.from_query(request.GET)
    team = _team(request)
    found = page_of(AuditEntry.objects.of_team(team.pk), filters)
    context = {
        "filters": filters,
        "rows": presenters.rows_of(found.lines),
        "next": found.next,
        "people": [m.user for m in Membership.objects.filter(team=team).with_users()],
        "actions": TEAM_ACTIONS,
    }
    return render_page(request, "audit/page.html", context)


@member(Role.OWNER, "GET", audit=AuditAction.AUDIT_EXPORTED)
def export_lines(request: HttpRequest) -> StreamingHttpResponse:
    """All lines of the team as a file: ?form=jsonl, or CSV."""
    form = request.GET.get("form", "csv")
    if form not in export.TYPES:
        raise Http404(_("There is no such format."))
    lines = AuditEntry.objects.of_team(_team(request).pk)
    return download(
        request,
        export.pieces(lines, form),
        name=f"audit-log.{form}",
        content_type=export.TYPES[form],
    )


def _team(request: HttpRequest) -> Team:
    if request.team is None:
        raise Http404("no team")
    return request.team
