"""Who may call the API: whoever shows a key. A browser's session counts for nothing here."""

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt

from finetune_app.accounts.access import Policy
from finetune_app.deployment import keys, limits
from finetune_app.deployment.api.errors import ApiError
from finetune_app.deployment.models import ACTIONS, ApiKey
from finetune_app.deployment.monitoring import costs

log = logging.getLogger(__name__)
COSTLY = ("chat", "embeddings")  # what uses up tokens
ApiView = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def api(*methods: str, action: str | None) -> Callable[[ApiView], ApiView]:
    """Decorate `async view(request, key, ...)`; whatever goes wrong becomes an error of the API.

    `action`, of models.ACTIONS: what a key must be allowed to do to come here; None: any key.
    """
    if action is not None and action not in ACTIONS:
        raise ValueError(f"no such action of a key: {action}")

    def decorate(view: ApiView) -> ApiView:
        @wraps(view)
        async def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                if request.method not in methods:
                    raise ApiError(405, f"This address takes {' or '.join(methods)}.")
                key = await sync_to_async(key_of)(request, action)
                return await view(request, key, *args, **kwargs)
            except ApiError as error:
                response = error.response()
                if error.status == 405:
                    response["Allow"] = ", ".join(methods)
                return response
            except RequestDataTooBig:
                return ApiError(413, "The body is larger than 10 MB.").response()
            except (SuspiciousOperation, BadRequest, MultiPartParserError):
                return ApiError(400, "The request cannot be read.").response()
            except Exception:
                log.exception("the API failed")
                return ApiError(500, "Something went wrong here. Try again.").response()

        inner.policy = Policy(None, methods, "key")  # type: ignore[attr-defined]
        inner.action = action  # type: ignore[attr-defined]
        return csrf_exempt(inner)

    return decorate


def key_of(request: HttpRequest, action: str | None) -> ApiKey:
    """The key that was shown, one request counted for it. Raises ApiError where it may not do
    this, or not so much."""
    kind, _space, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise ApiError(
            401,
            "No API key was sent. Send it as “Authorization: Bearer ft-…”; a person of your "
            "team makes one on the deployment page.",
            code="missing_api_key",
        )
    key = keys.find(text.strip()) if text.isprintable() else None
    if key is None:
        raise ApiError(
            401, "This API key is not known, was revoked or has expired.", code="invalid_api_key"
        )
    if action is not None and action not in key.actions:
        raise ApiError(
            403,
            f"This key may not do that ({action}). A person of your team decides what a key "
            "may do, on the page of the team's keys.",
            code="key_not_allowed",
        )
    if action in COSTLY and key.is_used_up:
        raise ApiError(
            429,
            f"This key has used its {key.tokens_a_month:,} tokens of this month. A person of "
            "your team can give it more on the page of the team's keys.",
            code="insufficient_quota",
            kind="insufficient_quota",
            again=False,
        )
    if action in COSTLY and costs.is_spent(key):
        raise ApiError(
            429,
            f"This key has spent its {costs.budget(key)} of this month. A person of your team "
            "can give it more on the page of the team's keys.",
            code="insufficient_quota",
            kind="insufficient_quota",
            again=False,
        )
    try:
        limits.take_request(key)
    except limits.TooMuch as much:
        raise ApiError(
            429,
            f"This key may use {much.most:,} {much.what} a minute. "
            f"Try again in {much.seconds} seconds.",
            code="rate_limit_exceeded",
            retry_after=much.seconds,
        ) from much
    return key
