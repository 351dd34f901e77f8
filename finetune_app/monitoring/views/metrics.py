"""/metrics for Prometheus: off unless METRICS_TOKEN is set."""

import hmac

from django.conf import settings
from django.http import HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from finetune_app.accounts.access import Policy, declare
from finetune_app.accounts.requests import HttpRequest
from finetune_app.monitoring.engine_status import engine_status
from finetune_app.monitoring.metrics import exposition


def _show(request: HttpRequest) -> HttpResponse:
    if not _has_token(request.headers.get("Authorization", "")):
        return HttpResponse(
            "A token is needed.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return HttpResponse(exposition(engine_status()), content_type=CONTENT_TYPE_LATEST)


def _has_token(header: str) -> bool:
    """Always False if no token is set."""
    scheme, _space, token = header.partition(" ")
    expected = settings.METRICS_TOKEN
    equal = hmac.compare_digest(token.strip().encode(), expected.encode())
    return bool(expected) and scheme.lower() == "bearer" and equal


show = declare(_show, Policy(None, ("GET",), "key"))
