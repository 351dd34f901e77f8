"""Authentication and limits of the API: a valid key is required. Browser sessions are ignored."""

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt

from finetune_app.accounts.access import Policy
from finetune_app.api_keys import rate_limits
from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ACTIONS, ApiKey
from finetune_app.core.audit import AuditAction
from finetune_app.core.connections import none_was_free
from finetune_app.core.request_limits import too_busy
from finetune_app.gateway.errors import ApiError, internal_error
from finetune_app.monitoring import key_budgets

log = logging.getLogger(__name__)
ACTIONS_WITH_BUDGET = ("chat", "embeddings")  # those that use tokens
ApiView = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def api_view(
    *methods: str,
    action: str | None,
    audit: AuditAction | None = None,
    uses_tokens: bool = True,
    prepare: Callable[[HttpRequest, ApiKey], Any] | None = None,
) -> Callable[[ApiView], ApiView]:
    """Decorate `async view(request, key, ...)`; every exception becomes an API error.

    action: what the key must be allowed to do (api_keys.models.ACTIONS); None: any valid key.
    uses_tokens: False for a view that works although the key's budget is used up.
    prepare: asks the database what the view needs to know, in the thread that has found the key:
    each change of thread takes time. The view gets what it returns in place of the key.
    """
    if action is not None and action not in ACTIONS:
        raise ValueError(f"no such action of a key: {action}")

    def begin(request: HttpRequest) -> Any:
        key = authorised_key(request, action, uses_tokens=uses_tokens)
        return prepare(request, key) if prepare else key

    def decorate(view: ApiView) -> ApiView:
        @wraps(view)
        async def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                if request.method not in methods:
                    raise ApiError(405, f"This address takes {' or '.join(methods)}.")
                return await view(request, await sync_to_async(begin)(request), *args, **kwargs)
            except ApiError as error:
                if error.status >= 500:
                    log.warning("answered %s, %s: %s", error.status, error.code, error.message)
                response = error.response()
                if error.status == 405:
                    response["Allow"] = ", ".join(methods)
                return response
            except RequestDataTooBig:
                most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024**2
                return ApiError(413, f"The body is larger than {most} MB.").response()
            except (SuspiciousOperation, BadRequest, MultiPartParserError):
                return ApiError(400, "The request cannot be read.").response()
            except Exception as error:
                if none_was_free(error):
                    return too_busy(request)
                log.exception("the API failed")
                return internal_error().response()

        inner.policy = Policy(None, methods, "key", audit=audit)  # type: ignore[attr-defined]
        inner.action = action  # type: ignore[attr-defined]
        return csrf_exempt(inner)

    return decorate


def authorised_key(request: HttpRequest, action: str | None, *, uses_tokens: bool = True) -> ApiKey:
    """The key of the request; counts one request for it.

    Raises ApiError if the key is unknown, may not do this, or has used up its budget or limit.
    """
    key = _authenticate(request)
    request.api_key = key  # type: ignore[attr-defined]  # read by the audit log
    require_action(key, action)
    if uses_tokens and action in ACTIONS_WITH_BUDGET:
        require_budget(key)
    try:
        rate_limits.count_request(key)
    except rate_limits.RateLimitExceeded as exceeded:
        raise ApiError(
            429,
            f"This key may use {exceeded.limit:,} {exceeded.unit} a minute. "
            f"Try again in {exceeded.retry_after} seconds.",
            code="rate_limit_exceeded",
            retry_after=exceeded.retry_after,
        ) from exceeded
    return key


def require_action(key: ApiKey, action: str | None) -> None:
    """Raises ApiError if the key may not do this."""
    if action is not None and action not in key.actions:
        raise ApiError(
            403,
            f"This key may not do that ({action}). A person of your team decides what a key "
            "may do, on the page of the team's keys.",
            code="key_not_allowed",
        )


def _authenticate(request: HttpRequest) -> ApiKey:
    scheme, _space, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise ApiError(
            401,
            "No API key was sent. Send it as “Authorization: Bearer ft-…”; a person of your "
            "team makes one on the deployment page.",
            code="missing_api_key",
        )
    key = api_keys.authenticate(text.strip()) if text.isprintable() else None
    if key is None:
        raise invalid_key()
    return key


def invalid_key() -> ApiError:
    return ApiError(
        401, "This API key is not known, was revoked or has expired.", code="invalid_api_key"
    )


def require_budget(key: ApiKey) -> None:
    """Raises ApiError if the key has used up its budget of the month."""
    if key.is_used_up:
        raise _insufficient_quota(
            f"This key has used its {key.tokens_per_month:,} tokens of this month. A person of "
            "your team can give it more on the page of the team's keys."
        )
    if key_budgets.is_over_budget(key):
        raise _insufficient_quota(
            f"This key has spent its {key_budgets.budget(key)} of this month. A person of your "
            "team can give it more on the page of the team's keys."
        )


def _insufficient_quota(message: str) -> ApiError:
    code = "insufficient_quota"
    return ApiError(429, message, code=code, error_type=code, should_retry=False)
