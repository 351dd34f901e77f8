"""The audit log of a team, for its owners: a page and a file."""

from typing import Any

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.urls import reverse

from finetune_app.accounts.access import member, operator
from finetune_app.accounts.models import Membership, Role, Team, User
from finetune_app.accounts.requests import HttpRequest
from finetune_app.audit import export, presenters
from finetune_app.audit.filters import Filters, page_of
from finetune_app.audit.models import AuditEntry, AuditEntryQuerySet
from finetune_app.audit.services import OF_NO_TEAM
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download
from finetune_app.core.requests import render_page

MAX_PEOPLE = 200  # to filter by
TEAM_ACTIONS = [(a.value, a.label) for a in AuditAction if a not in OF_NO_TEAM]


@member(Role.OWNER, "GET")
def page(request: HttpRequest) -> HttpResponse:
    """What was done in the team, newest first."""
    team = _team(request)
    context = _page_context(request, AuditEntry.objects.of_team(team.pk)) | {
        "people": [m.user for m in Membership.objects.filter(team=team).with_users()],
        "actions": TEAM_ACTIONS,
        "download": reverse("audit:export"),
    }
    return render_page(request, "audit/page.html", context)


@operator("GET")
def all_lines(request: HttpRequest) -> HttpResponse:
    """What was done on the whole installation."""
    context = _page_context(request, AuditEntry.objects.all(), of_all_teams=True) | {
        "people": User.objects.order_by("name", "pk")[:MAX_PEOPLE],
        "actions": AuditAction.choices,
        "download": reverse("operations:audit_export"),
    }
    return render_page(request, "audit/page.html", context)


def _page_context(
    request: HttpRequest, lines: AuditEntryQuerySet, *, of_all_teams: bool = False
) -> dict[str, Any]:
    filters = Filters.from_query(request.GET)
    found = page_of(lines, filters)
    return {
        "filters": filters,
        "rows": presenters.rows_of(found.lines, of_all_teams=of_all_teams),
        "of_all": of_all_teams,
        "next": found.next,
        "here": request.path,
    }


@member(Role.OWNER, "GET", audit=AuditAction.AUDIT_EXPORTED)
def export_lines(request: HttpRequest) -> StreamingHttpResponse:
    """All lines of the team as a file: ?form=jsonl, or CSV."""
    return _file(request, AuditEntry.objects.of_team(_team(request).pk))


@operator("GET", audit=AuditAction.ALL_AUDIT_EXPORTED)
def export_all_lines(request: HttpRequest) -> StreamingHttpResponse:
    return _file(request, AuditEntry.objects.all())


def _file(request: HttpRequest, lines: AuditEntryQuerySet) -> StreamingHttpResponse:
    form = request.GET.get("form", "csv")
    if form not in export.TYPES:
        raise Http404("no such format")
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
