"""What every view gets: a typed request, full page or one partial."""

import ipaddress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest as DjangoRequest
from django.http import HttpResponse
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails

if TYPE_CHECKING:
    from finetune_app.accounts.models import Membership, Team, User
    from finetune_app.goals.models import Goal


class HttpRequest(DjangoRequest):
    """A request after our middleware: who asks, for which team, in which role."""

    htmx: HtmxDetails
    user: "User"  # type: ignore[assignment]
    team: "Team | None"
    membership: "Membership | None"
    goal: "Goal | None"


def render_page(
    request: DjangoRequest,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    partial: str | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render the whole page, or only `partial` of it when htmx asks for that target."""
    htmx = getattr(request, "htmx", None)
    # Going back in the browser, htmx asks for the whole page.
    if partial and htmx and not (htmx.boosted or htmx.history_restore_request):
        template = f"{template}#{partial}"
    response = render(request, template, context or {}, status=status)
    response.headers.setdefault("Vary", "HX-Request")
    return response


def whole_number(text: str | None) -> int | None:
    """What a person or a link wrote as a number; None for anything that is not a plausible one."""
    return int(text) if text and text.isdecimal() and len(text) <= 15 else None


def _without_port(hop: str) -> str:
    """An address as a proxy writes it, some with a port; empty where it is none."""
    for text in (hop, hop.rpartition(":")[0].strip("[]"), hop.strip("[]")):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return ""


def client_ip(request: DjangoRequest) -> str:
    """The peer's address. Behind our own proxy, the last hop it added; never the first."""
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        hops = request.headers.get("X-Forwarded-For", "").split(",")
        if address := _without_port(hops[-1].strip()):
            return address
    return request.META.get("REMOTE_ADDR", "") or "127.0.0.1"
