"""Counts the requests of pages and API by route, for /metrics."""

import time

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
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


class RequestMetricsMiddleware(MiddlewareMixin):
    """The labels are routes ("goals/<int:goal_id>/"), never addresses: they have no ids or secrets,
    and nobody can make more of them."""

    def process_request(self, request: HttpRequest) -> None:
        request.started_at = time.monotonic()  # type: ignore[attr-defined]

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        match = request.resolver_match
        route = match.route if match else "none"
        method = request.method if request.method in METHODS else "other"
        WEB_REQUESTS.labels(method, route, str(response.status_code)).inc()
        WEB_SECONDS.labels(route).observe(time.monotonic() - request.started_at)  # type: ignore[attr-defined]
        return response
