"""Counts the requests of pages and API by route, for /metrics."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

from finetune_app.request_log.prometheus import BUCKETS_SECONDS, registry

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
WEB_REQUESTS = Counter(
    "finetune_web_requests",
    "Requests of pages and API.",
    ["method", "route", "status"],
    registry=registry,
)
WEB_SECONDS = Histogram(
    "finetune_web_request_seconds",
    "Until the response began.",
    ["route"],
    buckets=BUCKETS_SECONDS,
    registry=registry,
)


class RequestMetricsMiddleware:
    """The labels are routes ("goals/<int:goal_id>/"), never addresses: they have no ids or secrets,
    and nobody can make more of them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.monotonic()
        response = self.get_response(request)
        match = request.resolver_match
        route = match.route if match else "none"
        method = request.method if request.method in METHODS else "other"
        WEB_REQUESTS.labels(method, route, str(response.status_code)).inc()
        WEB_SECONDS.labels(route).observe(time.monotonic() - started)
        return response
