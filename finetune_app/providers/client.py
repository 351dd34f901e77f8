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
from finetune_app.providers import gemini, guard, service_account
from finetune_app.providers.target import RemoteError, Target, TargetSpec

if TYPE_CHECKING:
    from finetune_app.providers.models import Endpoint

__all__ = [
    "Answer",
    "RemoteError",
    "StreamEvent",
    "Target",
    "TargetSpec",
    "answer",
    "complete_answer",
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


class StreamEvent(TypedDict, total=False):
    """A piece of an answer (`text`), or its end (`done` and the other fields).

    Token counts are None where the platform does not report them.
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
    target: Target, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0
) -> Answer:
    """A complete answer, for workers. Retries while the platform is busy."""
    for left in reversed(range(MAX_ATTEMPTS)):
        try:
            return asyncio.run(complete_answer(target, messages, max_tokens, temperature))
        except RemoteError as problem:
            if problem.retry_after is None or not left:
                raise
            time.sleep(min(problem.retry_after, MAX_RETRY_WAIT_SECONDS))
    raise AssertionError("unreachable")


async def complete_answer(
    target: Target, messages: Sequence[Message], max_tokens: int, temperature: float = 0.0
) -> Answer:
    """A complete answer. Raises RemoteError."""
    text = ""
    end: StreamEvent = {}
    async with aclosing(
        stream(target, messages, max_tokens=max_tokens, temperature=temperature)
    ) as events:
        async for event in events:
            text += event.get("text", "")
            end = event
    return Answer(text, end["prompt_tokens"], end["tokens"], end["finish_reason"], end["seconds"])


async def stream(
    endpoint: Endpoint | Target,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    temperature: float = 0.0,
) -> AsyncGenerator[StreamEvent, None]:
    """Yields text as it is generated, then the end of the answer.

    Closing the generator closes the connection. Raises RemoteError.
    """
    target = endpoint if isinstance(endpoint, Target) else target_of(endpoint)
    began = time.monotonic()
    body = _body(target, messages, max_tokens, temperature)
    end: StreamEvent = {"finish_reason": "", "tokens": None, "prompt_tokens": None}
    try:
        async with _client(target) as client:
            if target.api == GEMINI:
                client.headers["Authorization"] = f"Bearer {await _token(client, target)}"
            response = await _send(client, target, body)
            try:
                async with aclosing(_chunks(response, began)) as chunks:
                    async for chunk in chunks:
                        if target.api == GEMINI:
                            chunk = gemini.as_openai_chunk(chunk)
                        if text := _read(chunk, end, target):
                            yield {"text": text}
            finally:
                await response.aclose()
    except guard.NotAllowed as problem:
        raise RemoteError(str(problem)) from None
    except (httpx.HTTPError, TimeoutError) as problem:
        raise _connection_error(problem, target) from None
    if not end["finish_reason"]:
        raise RemoteError(f"{target.host} stopped in the middle of its answer.", retry_after=5)
    yield {**end, "done": True, "seconds": round(time.monotonic() - began, 3)}


# ---- One request ----


def _body(
    target: Target, messages: Sequence[Message], max_tokens: int, temperature: float
) -> dict[str, Any]:
    said = without_weights(without_thoughts(messages))
    if target.api == GEMINI:
        return gemini.body(said, max_tokens, temperature)
    return {
        "model": target.model,
        "messages": said,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


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


async def _send(client: httpx.AsyncClient, target: Target, body: dict[str, Any]) -> httpx.Response:
    """The first successful response. Parameters that the model rejects by name are left out or
    renamed, and the request is sent again."""
    url = f"{target.url.rstrip('/')}/chat/completions"
    if target.api == GEMINI:
        url = gemini.address(target.url, target.model)
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
            message = await _error_text(response)
        finally:
            await response.aclose()
        changed = _adapted_body(body, message) if response.status_code in (400, 422) else None
        if changed is None:
            raise _status_error(response, message, target)
        body = changed


def _adapted_body(body: dict[str, Any], message: str) -> dict[str, Any] | None:
    """The body without the parameter that the error message names; None if it names none."""
    adapted = dict(body)
    if "max_completion_tokens" in message and "max_tokens" in adapted:
        return adapted | {"max_completion_tokens": adapted.pop("max_tokens")}
    for name in ("stream_options", "temperature"):
        if name in message and name in adapted:
            del adapted[name]
            return adapted
    return None


async def _error_text(response: httpx.Response) -> str:
    read = b""
    async with asyncio.timeout(CHUNK_TIMEOUT_SECONDS):
        async for piece in response.aiter_raw():
            read += piece
            if len(read) > 20_000:
                break
    text = read[:20_000].decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return text


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
            raise RemoteError("The answer was too long, so it was not read to its end.")
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
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
            f"{target.host} broke off: {_platform_message(str(message), target)}", retry_after=5
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
    return content.encode(errors="replace").decode() if isinstance(content, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 1_000_000_000 else None


# ---- Errors ----


def _status_error(response: httpx.Response, message: str, target: Target) -> RemoteError:
    status, host = response.status_code, target.host
    if 300 <= status < 400:
        return RemoteError(
            f"{host} redirects to another address, which Finetune does not follow. Add the "
            "address it redirects to instead."
        )
    if status in (401, 403):
        service_account.forget_token(target.key)
        return RemoteError(f"{host} did not accept the key. Ask an owner to enter it again.")
    if status == 402:
        return RemoteError(f"{host} says that the account has no credit left.")
    if status == 404:
        return RemoteError(
            f"{host} does not know the model “{target.model}” at this address. Check both: the "
            "address ends before /chat/completions."
        )
    if status == 429:
        return RemoteError(
            f"{host} is busy, or the account's limit is reached. Try again in a while.",
            retry_after=_seconds(response.headers.get("retry-after")),
        )
    if status >= 500:
        return RemoteError(
            f"{host} has an error of its own ({status}). Try again in a while.",
            retry_after=_seconds(response.headers.get("retry-after")),
        )
    return RemoteError(
        f"{host} did not accept the question ({status}): {_platform_message(message, target)}"
    )


def _connection_error(problem: Exception, target: Target) -> RemoteError:
    if isinstance(problem, httpx.TimeoutException | TimeoutError):
        return RemoteError(
            f"{target.host} did not answer in time. Try again in a while.", retry_after=5
        )
    if "CERTIFICATE" in str(problem).upper():
        return RemoteError(f"{target.host} has no certificate that this machine trusts.")
    if isinstance(problem, httpx.ConnectError):
        return RemoteError(
            f"{target.host} cannot be reached. Check the address, and that this machine has a "
            "network.",
            retry_after=5,
        )
    return RemoteError(f"The connection to {target.host} broke. Try again.", retry_after=5)


def _platform_message(message: str, target: Target) -> str:
    """The platform's message: one line, shortened, with the key removed."""
    if target.key:
        message = message.replace(target.key, "…")
    message = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return message if len(message) <= 200 else message[:199] + "…"


def _seconds(text: str | None) -> float:
    return min(float(text), 600.0) if text and text.strip().isdigit() else 5.0
