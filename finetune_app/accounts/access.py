"""Who may do what. Every view declares its policy with one of these decorators;
a test walks the URL configuration and fails on a view without one.

    @public("GET", "POST")            anyone, signed in or not
    @member(Role.EDITOR, "POST")      a member of the current team, in that role or above

The goals room adds `@goal_page(...)` for everything below a goal. What is privileged adds
`audit=AuditAction.…`, and leaves a line in the audit log (the audit room's middleware).
A stranger gets 404 (the thing does not exist for them), a member without the role 403.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from finetune_app.accounts.models import Membership, Role
from finetune_app.accounts.next_page import page_before
from finetune_app.accounts.requests import HttpRequest
from finetune_app.accounts.services.second_factor import has_second_factor
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True)
class Policy:
    """`needed` is None for public views; `scope` names what the role is looked up on.

    `changing` is the role for everything but GET, on a page that some may only look at.
    `audit` is what the audit log says was done.
    """

    needed: Role | None
    methods: tuple[str, ...]
    scope: str  # "public", "account", "team", "goal", "key", "operator"
    changing: Role | None = None
    audit: AuditAction | None = None

    def needed_for(self, method: str | None) -> Role:
        role = self.needed if method == "GET" else self.changing or self.needed
        return role or Role.VIEWER

    def is_audited(self, method: str | None) -> bool:
        """Opening a form leaves no line; a download, which has only GET, does."""
        return self.audit is not None and (method != "GET" or self.methods == ("GET",))


def declare(view: View, policy: Policy) -> View:
    checked = require_http_methods(policy.methods)(view)
    checked.policy = policy  # type: ignore[attr-defined]
    return checked


def public(*methods: str, audit: AuditAction | None = None) -> Callable[[View], View]:
    return lambda view: declare(view, Policy(None, methods, "public", audit=audit))


def account(*methods: str, audit: AuditAction | None = None) -> Callable[[View], View]:
    """Any signed-in person, about themselves."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            return view(request, *args, **kwargs)

        return declare(inner, Policy(Role.VIEWER, methods, "account", audit=audit))

    return decorate


def member(needed: Role, *methods: str, audit: AuditAction | None = None) -> Callable[[View], View]:
    """A member of the current team (request.team) in the role `needed` or above.

    A user who is in no team is asked to create one.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            if request.membership is None and request.method == "GET":
                return HttpResponseRedirect(resolve_url("accounts:new_team"))
            require_same_team(request)
            require_role(request.membership, needed)
            require_second_factor(request, request.membership)
            return view(request, *args, **kwargs)

        return declare(inner, Policy(needed, methods, "team", audit=audit))

    return decorate


def operator(*methods: str, audit: AuditAction | None = None) -> Callable[[View], View]:
    """Somebody who runs the installation (User.is_staff); for others there is nothing here."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            if not request.user.is_staff:
                raise Http404("not an operator")
            return view(request, *args, **kwargs)

        return declare(inner, Policy(None, methods, "operator", audit=audit))

    return decorate


def may_edit(request: HttpRequest) -> bool:
    """Whether the signed-in person may edit in the request's team."""
    return request.membership is not None and request.membership.may_edit


def is_owner(request: HttpRequest) -> bool:
    """Whether the signed-in person is an owner of the request's team."""
    return request.membership is not None and request.membership.may(Role.OWNER)


def require_role(membership: Membership | None, needed: Role) -> None:
    if membership is None or not membership.may(needed):
        raise PermissionDenied(
            f"Your role here is {membership.role if membership else 'none'}; "
            f"this needs {needed.value}. Ask an owner of the team to change it."
        )


def require_second_factor(request: HttpRequest, membership: Membership | None) -> None:
    """Where the team asks for one: a page leads to where it is added, anything else is refused."""
    if membership is None or not membership.team.requires_second_factor:
        return
    if has_second_factor(request.user):
        return
    text = _("%(team)s asks its members for a second factor. Add one to go on.")
    text %= {"team": membership.team}
    if request.method != "GET" or request.htmx:
        raise PermissionDenied(text)
    messages.warning(request, text)
    raise ImmediateHttpResponse(HttpResponseRedirect(resolve_url("mfa_index")))


def require_same_team(request: HttpRequest) -> None:
    """Raises PlainError if the user has switched to another team, in another tab, since the
    form was opened. The form's address names its team (?in_team=)."""
    named = request.GET.get("in_team", "")
    if request.method == "POST" and named and named != str(request.team and request.team.pk):
        raise PlainError(
            _(
                "You switched to another team in the meantime. Switch back to this one and try "
                "again."
            ),
            status=409,
            title=_("Another team"),
        )


def to_sign_in(request: HttpRequest) -> HttpResponse | HttpResponseRedirect:
    """Redirects to the sign-in page; htmx needs a header to leave the page."""
    if request.htmx:
        response = HttpResponse(status=204)
        response["HX-Redirect"] = resolve_url("accounts:sign_in")
        return response
    # A POST cannot be repeated by opening its address, so return to the page with the form.
    return redirect_to_login(
        request.get_full_path() if request.method == "GET" else page_before(request)
    )
