"""What is kept of each request, and what the figures of a deployment say."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from finetune_app.api_keys import rate_limits
from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.checks.detectors.refusals import refusal
from finetune_app.deployment.models import Deployment, Release, Request
from finetune_app.deployment.monitoring import feedback, keeping, metrics

log = logging.getLogger(__name__)
_keeping: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks only weakly


async def keep(**facts: Any) -> None:
    """`note`, though the request be broken off meanwhile: whoever hangs up is counted too."""
    task = asyncio.create_task(sync_to_async(_note_and_close, thread_sensitive=False)(**facts))
    _keeping.add(task)
    task.add_done_callback(_keeping.discard)
    await asyncio.shield(task)


def _note_and_close(**facts: Any) -> None:
    """In a thread that belongs to no request, so nobody else would close its connection."""
    try:
        note(**facts)
    finally:
        connection.close()


def note(
    *,
    key: ApiKey | None,
    deployment: Deployment | None,
    release: Release | None,
    model: str,
    prompt_tokens: int,
    tokens: int,
    messages: Sequence[dict[str, Any]] = (),
    answer: str | None = None,
    **facts: Any,
) -> Request:
    """Keep how a request went, and count its tokens for its key; a page of ours has none. What was
    said is kept only where the deployment's team has switched that on (monitoring/keeping.py);
    of every `answer` in words only whether it refused. None: there was none (embeddings)."""
    if key:
        rate_limits.count_tokens(key, prompt_tokens + tokens)
        api_keys.count_month_tokens(key=key, tokens=prompt_tokens + tokens)
    asked_of = key or deployment
    assert asked_of is not None, "a page asks what is live"
    request = Request.objects.create(
        team_id=asked_of.team_id,
        key=key,
        model=model[:120],
        prompt_tokens=prompt_tokens,
        tokens=tokens,
        deployment=deployment,
        refused=None if answer is None or facts["status"] >= 400 else refusal(answer) > 0,
        release=release,
        **facts,
    )
    metrics.note(
        deployment=deployment.name if deployment else None,
        status=request.status,
        seconds=request.seconds,
        first_seconds=request.first_seconds,
        prompt_tokens=prompt_tokens,
        tokens=tokens,
    )
    if deployment and messages:
        _keep_words(request, messages, answer or "")
    return request


def _keep_words(request: Request, messages: Sequence[dict[str, Any]], answer: str) -> None:
    """A fault here costs the text and nothing else; what the fault says may hold some of it, so
    only its kind is written down."""
    try:
        transcript = keeping.keep(request, messages, answer)
        if transcript:
            feedback.notice(request, transcript)
    except Exception as problem:
        log.error("the text of request %s was not kept: %s", request.pk, type(problem).__name__)
