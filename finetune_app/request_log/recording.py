"""Stores a row for each request to the API, and its text where the deployment keeps texts."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.utils import timezone

from finetune_app.api_keys import rate_limits
from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.core import connections
from finetune_app.core.chat_messages import Message
from finetune_app.core.refusals import refusal_length
from finetune_app.deployment.models import Deployment, Release
from finetune_app.request_log import feedback, prometheus, retention, stored_responses
from finetune_app.request_log.models import Request
from finetune_app.request_log.stored_responses import ResponseToStore

log = logging.getLogger(__name__)
RESPONSE_WAITS_SECONDS = 1.0
_tasks: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks only weakly


async def arecord(**facts: Any) -> None:
    """`record`, completed even if the client disconnects meanwhile. Redacting a long text takes
    seconds; the response does not wait for it."""
    task = asyncio.create_task(
        sync_to_async(_record_and_give_back, thread_sensitive=False)(**facts)
    )
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    # What a program may ask for next has to be there.
    wait = None if facts.get("to_store") else RESPONSE_WAITS_SECONDS
    done, _unfinished = await asyncio.wait([task], timeout=wait)
    for ended in done:
        ended.result()


def _record_and_give_back(**facts: Any) -> None:
    """Runs in a thread outside Django's request cycle, which would look after its connection."""
    try:
        record(**facts)
    finally:
        connections.give_back()


def record(
    *,
    key: ApiKey | None,
    deployment: Deployment | None,
    release: Release | None,
    model: str,
    status: int,
    prompt_tokens: int,
    tokens: int,
    seconds: float = 0.0,
    first_seconds: float | None = None,
    streamed: bool = False,
    error: str = "",
    reply_id: str = "",
    confidence: float | None = None,
    messages: Sequence[Message] = (),
    answer: str | None = None,
    at: datetime | None = None,
    is_background: bool = False,
    keeps_text: bool | None = None,
    to_store: ResponseToStore | None = None,
) -> Request:
    """Store one request and count its tokens for its key.

    `key` is None for requests from our own pages, which always have a deployment. `messages` and
    `answer` are stored only where the team has switched that on (retention.py). `answer` is None
    if there is no text answer (embeddings). `at` is when the request ended; by default now.
    `is_background`: nobody waits for it, so it uses up none of the key's tokens a minute.
    `keeps_text`: whether its text is among those that are kept; None: it is drawn.
    """
    if key and not is_background:
        rate_limits.count_tokens(key, prompt_tokens + tokens)
    if key:
        api_keys.count_month_tokens(key=key, tokens=prompt_tokens + tokens)
    owner = key or deployment
    assert owner is not None, "a request has a key or a deployment"
    request = Request.objects.create(
        team_id=owner.team_id,
        key=key,
        deployment=deployment,
        release=release,
        model=model[:120],
        status=status,
        error=error,
        streamed=streamed,
        prompt_tokens=prompt_tokens,
        tokens=tokens,
        first_seconds=first_seconds,
        seconds=seconds,
        reply_id=reply_id,
        refused=None if answer is None or status >= 400 else refusal_length(answer) > 0,
        confidence=confidence,
        at=at or timezone.now(),
    )
    prometheus.count_request(
        deployment_name=deployment.name if deployment else None,
        status=status,
        seconds=seconds,
        first_seconds=first_seconds,
        prompt_tokens=prompt_tokens,
        tokens=tokens,
    )
    if deployment and messages:
        _store_text(request, messages, answer or "", keeps_text)
    if deployment and to_store:
        _store_response(request, to_store)
    return request


def _store_response(request: Request, to_store: ResponseToStore) -> None:
    """As `_store_text`."""
    try:
        stored_responses.store(request, to_store)
    except Exception as problem:
        to_store.has_failed = True
        log.error("response of request %s was not kept: %s", request.pk, type(problem).__name__)


def _store_text(
    request: Request, messages: Sequence[Message], answer: str, keeps_text: bool | None
) -> None:
    """An error loses the text and nothing else. Only its type is logged, since its message may
    contain some of the text."""
    try:
        transcript = retention.store_transcript(request, messages, answer, keeps_text)
        if transcript:
            feedback.queue_if_unsure(request, transcript)
    except Exception as problem:
        log.error("the text of request %s was not kept: %s", request.pk, type(problem).__name__)
