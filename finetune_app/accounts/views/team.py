"""The team page: members, roles, invitations, name, deletion; switching between teams."""

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts import services
from finetune_app.accounts.access import (
    account,
    is_owner,
    member,
    require_same_team,
    require_second_factor,
)
from finetune_app.accounts.forms import ROLES, DeleteTeamForm, RoleForm, TeamNameForm
from finetune_app.accounts.middleware import SESSION_KEY
from finetune_app.accounts.models import Invitation, Membership, Role, Team
from finetune_app.accounts.next_page import next_page
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number


def _team(request: HttpRequest) -> Team:
    if request.team is None:
        raise Http404("no team")
    return request.team


def _page(
    request: HttpRequest,
    *,
    rename: TeamNameForm | None = None,
    invite: RoleForm | None = None,
    link: str = "",
    partial: str | None = None,
    status: int = 200,
) -> HttpResponse:
    team = _team(request)
    members = list(Membership.objects.filter(team=team).with_users())
    context = {
        "members": members,
        "only_owner": sum(m.role == Role.OWNER for m in members) == 1,
        "is_owner": is_owner(request),
        "invitations": team.invitations.usable().select_related("created_by").order_by("-pk"),
        "rename": rename or TeamNameForm(initial={"name": team.name}),
        "invite": invite or RoleForm(),
        "roles": ROLES,
        "link": link,
        "days": services.INVITATION_DAYS,
        "port": settings.PORT,
        "without_second_factor": services.users_without_second_factor(team)
        if team.requires_second_factor
        else set(),
    }
    return render_page(request, "accounts/team.html", context, partial=partial, status=status)


@account("GET")
def team_page(request: HttpRequest) -> HttpResponse:
    """Every member sees the team; only owners see the forms that change it."""
    if request.team is None:
        return redirect("accounts:new_team")
    require_second_factor(request, request.membership)
    return _page(request)


@member(Role.OWNER, "POST", audit=AuditAction.TEAM_RENAMED)
def rename_team(request: HttpRequest) -> HttpResponse:
    form = TeamNameForm(request.POST)
    if not form.is_valid():
        return _page(request, rename=form, status=422)
    services.rename_team(team=_team(request), name=form.cleaned_data["name"])
    messages.success(request, _("Saved."))
    return redirect("accounts:team")


@member(Role.OWNER, "POST", audit=AuditAction.SECOND_FACTOR_RULE)
def second_factor_rule(request: HttpRequest) -> HttpResponse:
    required = request.POST.get("required") == "1"
    services.set_second_factor_rule(team=_team(request), by=request.user, required=required)
    messages.success(request, _("Saved."))
    return redirect("accounts:team")


@member(Role.OWNER, "POST", audit=AuditAction.ROLE_CHANGED)
def change_role(request: HttpRequest, membership_id: int) -> HttpResponse:
    membership = get_object_or_404(_team(request).memberships, pk=membership_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _page(request, status=422)
    role = form.chosen()
    set_audit_target(request, membership.user)
    services.change_role(membership=membership, role=role)
    words = {"name": membership.user, "role": role.label}
    messages.success(request, _("%(name)s is now %(role)s.") % words)
    return redirect("accounts:team")


@member(Role.OWNER, "POST", audit=AuditAction.MEMBER_REMOVED)
def remove_member(request: HttpRequest, membership_id: int) -> HttpResponse:
    membership = get_object_or_404(_team(request).memberships, pk=membership_id)
    set_audit_target(request, membership.user)
    services.remove_member(membership=membership)
    messages.success(request, _("%(name)s is no longer in the team.") % {"name": membership.user})
    return redirect("accounts:team")


@account("POST", audit=AuditAction.LEFT)
def leave_team(request: HttpRequest) -> HttpResponse:
    require_same_team(request)
    team = _team(request)
    assert request.membership is not None
    services.remove_member(membership=request.membership)
    messages.success(request, _("You left %(team)s.") % {"team": team})
    return redirect("accounts:account")


@member(Role.OWNER, "POST", audit=AuditAction.INVITED)
def invite(request: HttpRequest) -> HttpResponse:
    """Renders the page instead of a redirect, because the link is shown only once."""
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _page(request, invite=form, partial="invitations", status=422)
    _made, secret = services.invite(team=_team(request), role=form.chosen(), by=request.user)
    link = settings.PUBLIC_URL + reverse("accounts:join", args=[secret])
    return _page(request, link=link, partial="invitations")


@member(Role.OWNER, "POST", audit=AuditAction.INVITATION_WITHDRAWN)
def withdraw(request: HttpRequest, invitation_id: int) -> HttpResponse:
    rows = Invitation.objects.usable().filter(team=_team(request))
    services.withdraw(invitation=get_object_or_404(rows, pk=invitation_id))
    messages.success(request, _("That link no longer works."))
    return redirect("accounts:team")


@account("POST")
def switch_team(request: HttpRequest) -> HttpResponse:
    """Goals belong to a team, so redirects to the home page unless the form has `next`."""
    wanted = request.POST.get("team", "")
    pk = whole_number(wanted)
    if pk is None:
        raise PlainError(_("Choose the team you want to work in."))
    membership = get_object_or_404(request.user.memberships, team=pk)
    request.session[SESSION_KEY] = membership.team_id
    return redirect(next_page(request))


@account("GET", "POST", audit=AuditAction.TEAM_CREATED)
def new_team(request: HttpRequest) -> HttpResponse:
    form = TeamNameForm(request.POST or None)
    if not form.is_valid():
        status = 422 if form.is_bound else 200
        return render_page(request, "accounts/new_team.html", {"form": form}, status=status)
    team = services.make_team(owner=request.user, name=form.cleaned_data["name"])
    set_audit_target(request, team)
    request.session[SESSION_KEY] = team.pk
    messages.success(request, _("%(team)s is ready.") % {"team": team})
    return redirect("guide:home")


@member(Role.OWNER, "GET", "POST", audit=AuditAction.TEAM_DELETED)
def delete_team(request: HttpRequest) -> HttpResponse:
    team = _team(request)
    form = DeleteTeamForm(team, request.POST or None)
    if form.is_valid():
        services.delete_team(team=team)
        request.session.pop(SESSION_KEY, None)
        messages.success(
            request, _("%(team)s and everything in it have been deleted.") % {"team": team}
        )
        return redirect("accounts:account")
    context = {
        "form": form,
        "goals": team.goals.count(),
        "others": team.memberships.count() - 1,
    }
    status = 422 if form.is_bound else 200
    return render_page(request, "accounts/delete_team.html", context, status=status)
