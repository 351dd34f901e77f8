"""Client of remote models that offer OpenAI's chat completions API.

Uses no database, so that a worker's child process can use it: a web process makes a Target and
passes it on the child's standard input only. Messages are untranslated for the same reason. No
exception raised here contains the key.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import httpx
from cryptography.fernet import InvalidToken
from django.conf import settings

from finetune_app.core.chat_messages import Message, without_thoughts, without_weights
from finetune_app.core.encryption import decrypt
from finetune_app.core.storable_text import storable_json
from finetune_app.core.tool_calls import message_text
from finetune_app.providers import chat_completions, errors, gemini, guard, service_account
from finetune_app.providers.target import (
    Options,
    RemoteError,
    Target,
    TargetSpec,
    sampling_options,
)

if TYPE_CHECKING:
    from finetune_app.providers.models import Endpoint

__all__ = [
    "Answer",
    "Options",
    "RemoteError",
    "StreamEvent",
    "Target",
    "TargetSpec",
    "answer",
    "complete_answer",
    "sampling_options",
    "stream",
    "target_of",
]

GEMINI = "gemini"
CONNECT_TIMEOUT_SECONDS = 10.0
CHUNK_TIMEOUT_SECONDS = 60.0  # between two chunks of an answer
FIRST_CHUNK_TIMEOUT_SECONDS = 120.0  # until an answer begins; reasoning models may take long
TOTAL_TIMEOUT_SECONDS = 300.0
MAX_ANSWER_BYTES = 4_000_000  # of one answer, as received
MAX_LINE_BYTES = 1_000_000
MAX_ATTEMPTS = 4  # attempts of a worker while the platform is busy
MAX_RETRY_WAIT_SECONDS = 30.0
CHARACTERS_PER_TOKEN = 4  # about, as long as a platform has not said how many it counts


class StreamEvent(TypedDict, total=False):
    """A piece of an answer (`text`), or its end (`done` and the other fields).

    Token counts of a piece are those so far, and estimates where the platform reports them only at
    the end. Those of the end are None where it does not report them.
    """

    text: str
    done: bool
    finish_reason: str
    tokens: int | None
    prompt_tokens: int | None
    seconds: float


@dataclass(frozen=True)
class Answer:
    """A complete answer. Token counts are None where the platform does not report them."""

    text: str
    tokens_in: int | None
    tokens_out: int | None
    finish_reason: str
    seconds: float


def target_of(endpoint: Endpoint) -> Target:
    """Raises RemoteError if the key cannot be decrypted."""
    try:
        key = decrypt(endpoint.secret) if endpoint.secret else ""
    except InvalidToken:
        raise RemoteError(
            f"The key of {endpoint.name} cannot be read any more. Ask an owner to enter it again."
        ) from None
    place = guard.host_and_port(httpx.URL(endpoint.url))
    private = place in settings.ENDPOINTS_ALLOWED
    return Target(endpoint.url, endpoint.model, key, private, endpoint.api)


def answer(
    target: Target, messages: Sequence[Message], *, max_tokens: int, options: Options | None = None
) -> Answer:
    """A complete answer, for workers. Retries while the platform is busy."""
    for left in reversed(range(MAX_ATTEMPTS)):
        try:
            return asyncio.run(complete_answer(target, messages, max_tokens, options))
        except RemoteError as problem:
            if problem.retry_after is None or not left:
                raise
            time.sleep(min(problem.retry_after, MAX_RETRY_WAIT_SECONDS))
    raise AssertionError("unreachable")


async def complete_answer(
    target: Target, messages: Sequence[Message], max_tokens: int, options: Options | None = None
) -> Answer:
    """A complete answer. Raises RemoteError."""
    text = ""
    end: StreamEvent = {}
    async with aclosing(stream(target, messages, max_tokens=max_tokens, options=options)) as events:
        async for event in events:
            text += event.get("text", "")
            end = event
    return Answer(text, end["prompt_tokens"], end["tokens"], end["finish_reason"], end["seconds"])


async def stream(
    endpoint: Endpoint | Target,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    options: Options | None = None,
) -> AsyncGenerator[StreamEvent, None]:
    """Yields text as it is generated, then the end of the answer. `options`, where given, go before
    `max_tokens` and the temperature 0.

    Closing the generator closes the connection. Raises RemoteError.
    """
    target = endpoint if isinstance(endpoint, Target) else target_of(endpoint)
    began = time.monotonic()
    asked: Options = {"max_tokens": max_tokens, "temperature": 0.0, **(options or {})}
    read, written = _estimated_tokens("".join(map(message_text, messages))), 0
    end: StreamEvent = {"finish_reason": "", "tokens": None, "prompt_tokens": None}
    try:
        async with _client(target) as client:
            if target.api == GEMINI:
                client.headers["Authorization"] = f"Bearer {await _token(client, target)}"
            response = await _send(client, target, messages, asked)
            try:
                async with aclosing(_chunks(response, began)) as chunks:
                    async for chunk in chunks:
                        if target.api == GEMINI:
                            chunk = gemini.as_openai_chunk(chunk)
                        if text := _read(chunk, end, target):
                            written += _estimated_tokens(text)
                            yield {
                                "text": text,
                                "tokens": end["tokens"] or written,
                                "prompt_tokens": end["prompt_tokens"] or read,
                            }
            finally:
                await response.aclose()
    except guard.NotAllowed as problem:
        raise RemoteError(str(problem)) from None
    except (httpx.HTTPError, TimeoutError) as problem:
        raise errors.connection_error(problem, target) from None
    if not end["finish_reason"]:
        raise RemoteError(
            f"{target.host} stopped in the middle of its answer.",
            retry_after=5,
            about_question=None,
        )
    yield {**end, "done": True, "seconds": round(time.monotonic() - began, 3)}


# ---- One request ----


def _estimated_tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


async def _token(client: httpx.AsyncClient, target: Target) -> str:
    """What the key of a service account is exchanged for. Raises RemoteError."""
    if known := service_account.known_token(target.key):
        return known
    address, form = service_account.token_form(target.key)
    async with asyncio.timeout(FIRST_CHUNK_TIMEOUT_SECONDS):
        response = await client.post(address, data=form)
    try:
        return service_account.read_token(target.key, response.status_code, response.json())
    except (service_account.KeyRefused, ValueError, RecursionError):
        raise RemoteError(
            f"Google gives no token for the key of {target.host}. Ask an owner to enter it again."
        ) from None


def _client(target: Target) -> httpx.AsyncClient:
    headers = {"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"}
    if target.key and target.api != GEMINI:
        headers["Authorization"] = f"Bearer {target.key}"
    return httpx.AsyncClient(
        transport=guard.GuardedTransport(private=target.private),
        headers=headers,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(
            CHUNK_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS, read=FIRST_CHUNK_TIMEOUT_SECONDS
        ),
    )


async def _send(
    client: httpx.AsyncClient, target: Target, messages: Sequence[Message], options: Options
) -> httpx.Response:
    """The first successful response. Parameters that can be spared, and that the model rejects by
    name, are left out or renamed, and the request is sent again."""
    said = without_weights(without_thoughts(messages))
    if target.api == GEMINI:
        url, body = gemini.address(target.url, target.model), gemini.body(said, options)
    else:
        url = f"{target.url.rstrip('/')}/chat/completions"
        body = chat_completions.body(target.model, said, options)
    while True:
        async with asyncio.timeout(FIRST_CHUNK_TIMEOUT_SECONDS):
            response = await client.send(client.build_request("POST", url, json=body), stream=True)
        if response.is_success:
            if response.headers.get("content-encoding", "identity") != "identity":
                await response.aclose()
                raise RemoteError(
                    f"{target.host} compresses its answers, which Finetune did not ask for."
                )
            return response
        try:
            message, code = await _error_text(response)
        finally:
            await response.aclose()
        refused = response.status_code in (400, 422)
        changed = chat_completions.adapted(body, message) if refused else None
        if changed is None:
            raise errors.status_error(response, message, target, options, code)
        body = changed


async def _error_text(response: httpx.Response) -> tuple[str, str]:
    """The platform's message and its code for the error; "" where it has none."""
    read = b""
    async with asyncio.timeout(CHUNK_TIMEOUT_SECONDS):
        async for piece in response.aiter_raw():
            read += piece
            if len(read) > 20_000:
                break
    text = read[:20_000].decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        if not isinstance(error, dict):
            return str(error), ""
        return str(error["message"]), str(error.get("code") or error.get("type") or "")
    except (ValueError, KeyError, TypeError, RecursionError):
        return text, ""


# ---- Response ----


async def _chunks(response: httpx.Response, began: float) -> AsyncGenerator[Any, None]:
    """The JSON values of an event stream, or the one answer of a server that does not stream."""
    if "text/event-stream" in response.headers.get("content-type", ""):
        async for line in _lines(response, began):
            if line.startswith(b"data:"):
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                yield _json(data)
    else:
        whole = b"\n".join([line async for line in _lines(response, began)])
        yield _json(whole)


async def _lines(response: httpx.Response, began: float) -> AsyncIterator[bytes]:
    rest, total = b"", 0
    async for piece in response.aiter_raw():
        total += len(piece)
        late = time.monotonic() - began > TOTAL_TIMEOUT_SECONDS
        if late or total > MAX_ANSWER_BYTES or len(rest) > MAX_LINE_BYTES:
            raise RemoteError(
                "The answer was too long, so it was not read to its end.", about_question=True
            )
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


def _json(data: bytes) -> Any:
    try:
        return storable_json(json.loads(data))
    except (ValueError, RecursionError):
        raise RemoteError(
            "The answer is not in the chat format. Check that the address is that of an API, "
            "and ends before /chat/completions."
        ) from None


def _read(chunk: Any, end: StreamEvent, target: Target) -> str:
    """The text of one chunk; token counts and finish reason are stored in `end`."""
    if not isinstance(chunk, dict):
        return ""
    if error := chunk.get("error"):
        message = error.get("message") if isinstance(error, dict) else error
        raise RemoteError(
            f"{target.host} broke off: {errors.platform_message(str(message), target)}",
            retry_after=5,
            about_question=None,
        )
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        end["tokens"] = _count(usage.get("completion_tokens"))
        end["prompt_tokens"] = _count(usage.get("prompt_tokens"))
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return ""
    if isinstance(first.get("finish_reason"), str) and first["finish_reason"]:
        end["finish_reason"] = first["finish_reason"][:40]
    message = first.get("delta") or first.get("message") or {}
    return _text(message.get("content")) if isinstance(message, dict) else ""


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 1_000_000_000 else None
