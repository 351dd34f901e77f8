"""The account page: name, e-mail address, password, theme, deletion."""

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from finetune_app.accounts import services
from finetune_app.accounts.access import account, public
from finetune_app.accounts.forms import ChangePasswordForm, DeleteAccountForm, ProfileForm
from finetune_app.accounts.models import User
from finetune_app.accounts.next_page import page_before
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.context_processors import THEMES
from finetune_app.core.requests import render_page

YEAR = 60 * 60 * 24 * 365


def _page(
    request: HttpRequest,
    profile: ProfileForm | None = None,
    password: ChangePasswordForm | None = None,
) -> HttpResponse:
    rejected = profile or password
    context = {
        "profile": profile or ProfileForm(request),
        "password": password or ChangePasswordForm(request),
        "has_second_factor": services.has_second_factor(request.user),
        "memberships": request.user.memberships.select_related("team").order_by("joined_at", "pk"),
    }
    return render_page(request, "accounts/account.html", context, status=422 if rejected else 200)


@account("GET", "POST", audit=AuditAction.PROFILE_CHANGED)
@sensitive_post_parameters("password")
def account_page(request: HttpRequest) -> HttpResponse:
    """POST changes name and e-mail address."""
    if request.method != "POST":
        return _page(request)
    form = ProfileForm(request, request.POST)
    if not form.is_valid():
        return _page(request, profile=form)
    services.change_profile(
        user=request.user, name=form.cleaned_data["name"], email=form.cleaned_data["email"]
    )
    messages.success(request, _("Saved."))
    return redirect("accounts:account")


@account("POST", audit=AuditAction.PASSWORD_CHANGED)
@sensitive_post_parameters("old", "new")
def change_password(request: HttpRequest) -> HttpResponse:
    """Keeps this session and ends the user's other sessions."""
    form = ChangePasswordForm(request, request.POST)
    if not form.is_valid():
        return _page(request, password=form)
    services.change_password(user=request.user, password=form.cleaned_data["new"])
    update_session_auth_hash(request, request.user)
    messages.success(
        request, _("Your password has been changed. Other browsers have been signed out.")
    )
    return redirect("accounts:account")


@public("POST")
def theme(request: HttpRequest) -> HttpResponse:
    """Light, dark, or the system's theme (no cookie)."""
    response = redirect(page_before(request))
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(
            "theme", chosen, max_age=YEAR, samesite="Lax", secure=request.is_secure()
        )
    else:
        response.delete_cookie("theme", samesite="Lax")
    return response


@account("GET", "POST", audit=AuditAction.ACCOUNT_DELETED)
@reauthentication_required(enabled=lambda request: not request.user.has_usable_password())
@sensitive_post_parameters("password")
def delete_account(request: HttpRequest) -> HttpResponse:
    blocked_by = services.teams_left_without_owner(request.user)
    form = DeleteAccountForm(request, request.POST if request.method == "POST" else None)
    if not blocked_by and form.is_valid():
        user = User.objects.get(pk=request.user.pk)
        services.delete_account(user=user)
        logout(request)
        messages.success(request, _("Your account has been deleted."))
        return redirect("accounts:sign_in")
    context = {
        "form": form,
        "blocked_by": blocked_by,
        "deleted_teams": [
            (team, team.goals.count()) for team in services.teams_that_go_with(request.user)
        ],
    }
    status = 409 if blocked_by and form.is_bound else 422 if form.is_bound else 200
    return render_page(request, "accounts/delete_account.html", context, status=status)
