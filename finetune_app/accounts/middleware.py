"""Notes the use of sessions, and sets the request's team: the one chosen last, else the first one
joined."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from finetune_app.accounts import services
from finetune_app.accounts.models import Membership

SESSION_KEY = "team"


class SessionListMiddleware:
    """Keeps the list of a person's sessions up to date."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            services.note_use(request)  # type: ignore[arg-type]
        return self.get_response(request)


class TeamMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.team = request.membership = None  # type: ignore[attr-defined]
        request.memberships = []  # type: ignore[attr-defined]
        request.teams = []  # type: ignore[attr-defined]
        if request.user.is_authenticated:
            memberships = list(
                Membership.objects.filter(user=request.user)
                .select_related("team", "user")
                .order_by("joined_at", "pk")
            )
            request.memberships = memberships  # type: ignore[attr-defined]
            request.teams = [membership.team for membership in memberships]  # type: ignore[attr-defined]
            use(request, memberships)
        return self.get_response(request)


def use(request: HttpRequest, memberships: list[Membership]) -> None:
    chosen = request.session.get(SESSION_KEY)
    current = next((m for m in memberships if m.team_id == chosen), None)
    current = current or (memberships[0] if memberships else None)
    request.membership = current  # type: ignore[attr-defined]
    request.team = current.team if current else None  # type: ignore[attr-defined]
