"""Set up, sign in, sign out, join by invitation."""

from allauth.account.utils import perform_login
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from finetune_app.accounts import services
from finetune_app.accounts.access import account, public
from finetune_app.accounts.adapters import BACKEND
from finetune_app.accounts.forms import NewAccountForm, SetUpCodeForm, SetUpForm, SignInForm
from finetune_app.accounts.middleware import SESSION_KEY as TEAM_KEY
from finetune_app.accounts.models import Invitation, User
from finetune_app.accounts.next_page import next_page
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.requests import render_page

CODE_KEY = "set_up_code"  # session key: hash of the right code


@public("GET", "POST", audit=AuditAction.SET_UP)
@sensitive_post_parameters("password", "code")
def set_up(request: HttpRequest) -> HttpResponse:
    """Create the first account. A code in the address is removed by a redirect at once."""
    if not services.set_up_needed():
        request.session.pop(CODE_KEY, None)
        return redirect("accounts:sign_in")
    given = request.GET.get("code") or request.POST.get("code")
    if given:
        return _take_code(request, given)
    if not services.is_current(request.session.get(CODE_KEY)):
        return _ask_for_code(request)
    form = SetUpForm(request.POST or None)
    if not form.is_valid():
        status = 422 if form.is_bound else 200
        return render_page(request, "accounts/set_up.html", {"form": form}, status=status)
    owner = services.set_up(code_hash=request.session.pop(CODE_KEY), **form.cleaned_data)
    login(request, owner, backend=BACKEND)
    set_audit_target(request, owner)
    return redirect("guide:home")


def _take_code(request: HttpRequest, given: str) -> HttpResponse:
    code_hash = services.check_code(given)
    if code_hash:
        request.session[CODE_KEY] = code_hash
    else:
        messages.error(request, _("That code is not right. Copy the whole address once more."))
    return redirect("accounts:set_up")


def _ask_for_code(request: HttpRequest) -> HttpResponse:
    form = SetUpCodeForm(request.POST or None)
    status = 422 if form.is_bound else 200
    return render_page(request, "accounts/set_up_code.html", {"form": form}, status=status)


@public("GET", "POST")
@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Check the password; allauth asks for the second factor, if there is one, and signs in."""
    after = next_page(request)
    if request.user.is_authenticated:
        return redirect(after)
    if services.set_up_needed():
        return redirect("accounts:set_up")
    if request.method == "POST" and services.address_is_locked(request):
        return render_page(request, "errors/429.html", status=429)
    form = SignInForm(request, request.POST or None)
    if form.is_valid() and form.user:
        return perform_login(request, form.user, redirect_url=after)
    status = 422 if form.is_bound else 200
    with_passkey = services.passkeys_work(request) and services.somebody_has_a_passkey()
    context = {"form": form, "next": after, "with_passkey": with_passkey, "oidc": settings.OIDC}
    return render_page(request, "accounts/sign_in.html", context, status=status)


@account("POST")
def sign_out(request: HttpRequest) -> HttpResponse:
    after = next_page(request, otherwise="accounts:sign_in")
    logout(request)
    return redirect(after)


@public("GET", "POST", audit=AuditAction.JOINED)
@sensitive_post_parameters("password")
def join(request: HttpRequest, secret: str) -> HttpResponse:
    """A signed-in user joins with a click; anybody else creates an account first."""
    invitation = services.invitation_for(secret)
    if invitation is None:
        return render_page(request, "accounts/join_gone.html", status=404)
    if request.user.is_authenticated:
        return _join_as_me(request, invitation)
    form = NewAccountForm(request.POST or None)
    if form.is_valid():
        user = services.join_as_new(invitation=invitation, **form.cleaned_data)
        login(request, user, backend=BACKEND)
        return _welcome(request, invitation)
    status = 422 if form.is_bound else 200
    context = {"form": form, "invitation": invitation, "oidc": settings.OIDC}
    return render_page(request, "accounts/join.html", context, status=status)


def _join_as_me(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    already = request.user.memberships.filter(team=invitation.team).exists()
    if request.method == "GET" or already:
        context = {"invitation": invitation, "already": already}
        return render_page(request, "accounts/join.html", context, status=200)
    user: User = request.user
    services.accept(invitation=invitation, user=user)
    return _welcome(request, invitation)


def _welcome(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    request.session[TEAM_KEY] = invitation.team_id
    set_audit_target(request, invitation.team)
    messages.success(request, _("Welcome to %(team)s.") % {"team": invitation.team})
    return redirect("guide:home")
