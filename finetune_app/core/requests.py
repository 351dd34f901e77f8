"""Renders pages or partials, and reads values from requests."""

import ipaddress
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def render_page(
    request: HttpRequest,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    partial: str | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render the whole page, or only its `partial` when htmx asks (the header HX-Request)."""
    htmx = getattr(request, "htmx", None)
    # Boosted links and history restoration replace the whole page.
    if partial and htmx and not (htmx.boosted or htmx.history_restore_request):
        template = f"{template}#{partial}"
    response = render(request, template, context or {}, status=status)
    response.headers.setdefault("Vary", "HX-Request")
    return response


def whole_number(text: str | None) -> int | None:
    """A parameter as a whole number; None if it is not a plausible one."""
    return int(text) if text and text.isdecimal() and len(text) <= 15 else None


def _without_port(hop: str) -> str:
    """An IP address as proxies write it, perhaps with a port; empty if it is invalid."""
    for text in (hop, hop.rpartition(":")[0].strip("[]"), hop.strip("[]")):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return ""


def client_network(request: HttpRequest) -> str:
    """The client's address as it counts for a limit."""
    return network_of(client_ip(request))


def network_of(ip: str) -> str:
    """Of an IPv6 address its /64, which one household has; of IPv4 the address itself."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if address.version == 6:
        address = ipaddress.ip_network((address, 64), strict=False).network_address
    return str(address)


def client_ip(request: HttpRequest) -> str:
    """The client's IP address; behind a trusted proxy, the last hop it added, never the first."""
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        hops = request.headers.get("X-Forwarded-For", "").split(",")
        if address := _without_port(hops[-1].strip()):
            return address
    return request.META.get("REMOTE_ADDR", "") or "127.0.0.1"
