"""Asks a deployment from a page: validated, assigned to a release and logged like a request to the
API, but without a key."""

import json
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypedDict

from asgiref.sync import sync_to_async

from finetune_app.core import connections
from finetune_app.core.chat_messages import Message
from finetune_app.core.storable_text import storable_json
from finetune_app.deployment.models import Deployment
from finetune_app.gateway.errors import CLIENT_CLOSED_REQUEST, ApiError, internal_error
from finetune_app.gateway.generation import Generation
from finetune_app.gateway.responses import ChatResponse
from finetune_app.gateway.schemas import parse_chat_request

log = logging.getLogger(__name__)
MAX_MESSAGES_REMEMBERED = 40  # twenty questions with their answers


class ChatBody(TypedDict, total=False):
    """The body of /v1/chat/completions, without the model. Numbers may be invalid text, which the
    validation then refuses."""

    messages: list[Message]
    temperature: float | str
    max_tokens: float | str


class PageEvent(TypedDict, total=False):
    """One JSON line for the page's script: `thought`, then `text`, as they are generated. The last
    event has either `error`, or `done` and the other fields."""

    thought: str
    text: str
    error: str
    done: bool
    id: str
    tokens: int
    prompt_tokens: int
    seconds: float
    finish_reason: str
    version: int


def prepare(deployment: Deployment, visitor: str, given: ChatBody) -> Generation:
    """Raises ApiError if the request is invalid or the deployment cannot answer."""
    asked = {**given, "model": deployment.name, "stream": True}
    body = json.dumps(asked, ensure_ascii=False).encode()
    request = parse_chat_request(body)
    conversation_id = f"{visitor}:{request.options.conversation_id}"
    answer = ChatResponse(request.model, request.options.n)
    return Generation(None, request, answer).with_deployment(deployment, conversation_id)


def read_history(text: str, max_messages: int = MAX_MESSAGES_REMEMBERED) -> list[Message]:
    """The conversation so far, from a page's hidden field, in characters that the API takes. Drops
    system messages, and everything that is not a well-formed message."""
    try:
        rows = storable_json(json.loads(text or "[]"))
    except (ValueError, RecursionError):
        return []
    return [
        {"role": row["role"], "content": row["content"]}
        for row in (rows if isinstance(rows, list) else [])[-max_messages:]
        if isinstance(row, dict)
        and row.get("role") in ("user", "assistant")
        and isinstance(row.get("content"), str)
    ]


async def events(generation: Generation) -> AsyncGenerator[PageEvent, None]:
    """The events of one answer. Closing the generator cancels it."""
    await sync_to_async(connections.give_back)()
    status, code = CLIENT_CLOSED_REQUEST, "gone"
    try:
        async with aclosing(generation.events()) as items:
            async for item in items:
                if item.get("thought"):
                    yield {"thought": item["thought"]}
                if item.get("text"):
                    yield {"text": item["text"]}
        # Logged before the last event is sent: the page may then send feedback.
        status, code = 200, ""
        await generation.log(status, code)
        yield _final_event(generation)
    except ApiError as error:
        status, code = error.status, error.code
        yield {"error": error.message}
    except Exception:
        log.exception("an answer to a page failed after it had begun")
        status, code = 500, "server_error"
        yield {"error": internal_error().message}
    finally:
        await generation.log(status, code)


async def json_lines(generation: Generation) -> AsyncGenerator[bytes, None]:
    """The events as JSON lines."""
    async with aclosing(events(generation)) as found:
        async for event in found:
            yield json.dumps(event, ensure_ascii=False).encode() + b"\n"


async def complete(generation: Generation) -> PageEvent:
    """The last event with the whole text, for a browser without JavaScript."""
    text, last = "", PageEvent()
    async with aclosing(events(generation)) as found:
        async for event in found:
            text, last = text + event.get("text", ""), event
    return {**last, "text": text}


def _final_event(generation: Generation) -> PageEvent:
    choice = generation.answer.choices[0]
    release = generation.model.release if generation.model else None
    return {
        "done": True,
        "id": generation.answer.id,
        "tokens": choice.tokens,
        "prompt_tokens": choice.prompt_tokens,
        "seconds": time.monotonic() - generation.started_at,
        "finish_reason": choice.finish_reason or "stop",
        "version": release.number if release else 0,
    }
