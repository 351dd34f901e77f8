"""/metrics, for Prometheus: off unless METRICS_TOKEN is set."""

import hmac

from django.conf import settings
from django.http import HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from finetune_app.accounts.access import Policy, declare
from finetune_app.accounts.requests import HttpRequest
from finetune_app.deployment.monitoring import metrics
from finetune_app.deployment.views.monitor import engine_now


def _show(request: HttpRequest) -> HttpResponse:
    """The numbers, to whoever shows the token. Without a token in the settings nobody can."""
    if not _knows(request.headers.get("Authorization", "")):
        return HttpResponse(
            "A token is needed.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return HttpResponse(metrics.text(engine_now()), content_type=CONTENT_TYPE_LATEST)


def _knows(header: str) -> bool:
    kind, _space, token = header.partition(" ")
    wanted = settings.METRICS_TOKEN
    same = hmac.compare_digest(token.strip().encode(), wanted.encode())
    return bool(wanted) and kind.lower() == "bearer" and same


show = declare(_show, Policy(None, ("GET",), "key"))
