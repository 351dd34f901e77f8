"""The list of sessions, and ending them."""

from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts import services
from finetune_app.accounts.access import account
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.requests import render_page


@account("GET")
def session_list(request: HttpRequest) -> HttpResponse:
    sessions = services.list_sessions(request.user, request.session.session_key)
    return render_page(request, "accounts/sessions.html", {"sessions": sessions})


@account("POST", audit=AuditAction.SESSIONS_ENDED)
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """Ends one of the person's own sessions. The current one is ended by signing out."""
    session = get_object_or_404(UserSession, pk=session_id, user=request.user)
    services.end_session(session)
    messages.success(request, _("That browser is signed out."))
    return redirect("accounts:sessions")


@account("POST", audit=AuditAction.SESSIONS_ENDED)
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    count = services.end_other_sessions(request.user, request.session.session_key)
    text = ngettext("%d browser is signed out.", "%d browsers are signed out.", count) % count
    messages.success(request, text)
    return redirect("accounts:sessions")
