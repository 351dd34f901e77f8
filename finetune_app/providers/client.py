"""Asking a model elsewhere, in the chat format that most of them speak.

Plain Python without settings or database, so that a worker's child can use it: a web process
makes a Target, which travels on the child's standard input and nowhere else. Messages are plain
English for that reason too. Nothing raised here holds the key.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from cryptography.fernet import InvalidToken
from django.conf import settings

from finetune_app.core.chat_messages import Message
from finetune_app.core.encryption import decrypt
from finetune_app.providers import guard

if TYPE_CHECKING:
    from finetune_app.providers.models import Endpoint

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0  # between two pieces of an answer
FIRST_SECONDS = 120.0  # until an answer begins; some think long before the first word
WHOLE_SECONDS = 300.0
MOST_BYTES = 4_000_000  # of one answer, as it comes over the wire
LONGEST_LINE = 1_000_000
TRIES = 4  # of a worker, when a platform is busy
LONGEST_WAIT = 30.0

Event = dict[str, Any]


class RemoteError(Exception):
    """The model elsewhere did not answer; the message is for the person, without the key."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after  # seconds; None: trying again would not help


@dataclass(frozen=True)
class Target:
    """All that is needed to ask: for a child's standard input, never for the database.

    `private`: the operator named its host in ENDPOINTS_ALLOWED.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    private: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Target:
        return cls(given["url"], given["model"], given.get("key", ""), bool(given.get("private")))

    @property
    def host(self) -> str:
        return guard.host_of(httpx.URL(self.url))


@dataclass(frozen=True)
class Answer:
    """What came back. Tokens are None where the platform does not count them."""

    text: str
    tokens_in: int | None
    tokens_out: int | None
    finish_reason: str
    seconds: float


def target_of(endpoint: Endpoint) -> Target:
    """Raise RemoteError when its key cannot be read any more."""
    try:
        key = decrypt(endpoint.secret) if endpoint.secret else ""
    except InvalidToken:
        raise RemoteError(
            f"The key of {endpoint.name} cannot be read any more. Ask an owner to enter it again."
        ) from None
    place = guard.place_of(httpx.URL(endpoint.url))
    return Target(endpoint.url, endpoint.model, key, place in settings.ENDPOINTS_ALLOWED)


def answer(
    target: Target, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0
) -> Answer:
    """One whole answer, for workers; waits and asks again where the platform is busy."""
    for left in reversed(range(TRIES)):
        try:
            return asyncio.run(whole(target, messages, max_tokens, temperature))
        except RemoteError as problem:
            if problem.retry_after is None or not left:
                raise
            time.sleep(min(problem.retry_after, LONGEST_WAIT))
    raise AssertionError("unreachable")


async def whole(
    target: Target, messages: Sequence[Message], max_tokens: int, temperature: float = 0.0
) -> Answer:
    """One whole answer."""
    text, last = "", Event()
    async with aclosing(
        stream(target, messages, max_tokens=max_tokens, temperature=temperature)
    ) as events:
        async for event in events:
            text += event.get("text", "")
            last = event
    return Answer(
        text, last["prompt_tokens"], last["tokens"], last["finish_reason"], last["seconds"]
    )


async def stream(
    endpoint: Endpoint | Target,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    temperature: float = 0.0,
) -> AsyncGenerator[Event, None]:
    """{"text"} as it is written, at the end {"done", "finish_reason", "tokens", "prompt_tokens",
    "seconds"}. Closing it hangs up. Raise RemoteError."""
    target = endpoint if isinstance(endpoint, Target) else target_of(endpoint)
    began = time.monotonic()
    body: dict[str, Any] = {
        "model": target.model,
        "messages": list(messages),
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    ending: Event = {"finish_reason": "", "tokens": None, "prompt_tokens": None}
    try:
        async with _client(target) as client:
            response = await _asked(client, target, body)
            try:
                async with aclosing(_chunks(response, began)) as chunks:
                    async for chunk in chunks:
                        if text := _read(chunk, ending, target):
                            yield {"text": text}
            finally:
                await response.aclose()
    except guard.NotAllowed as problem:
        raise RemoteError(str(problem)) from None
    except (httpx.HTTPError, TimeoutError) as problem:
        raise _unreachable(problem, target) from None
    if not ending["finish_reason"]:
        raise RemoteError(f"{target.host} ended in the middle of its answer.", retry_after=5)
    yield {"done": True, "seconds": round(time.monotonic() - began, 3), **ending}


# ---- One request ----


def _client(target: Target) -> httpx.AsyncClient:
    headers = {"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"}
    if target.key:
        headers["Authorization"] = f"Bearer {target.key}"
    return httpx.AsyncClient(
        transport=guard.Guard(private=target.private),
        headers=headers,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, read=FIRST_SECONDS),
    )


async def _asked(client: httpx.AsyncClient, target: Target, body: dict[str, Any]) -> httpx.Response:
    """The response that began well. Models differ in what they take: what one refuses by name
    is left out, or called what it calls it."""
    url = f"{target.url.rstrip('/')}/chat/completions"
    while True:
        async with asyncio.timeout(FIRST_SECONDS):
            response = await client.send(client.build_request("POST", url, json=body), stream=True)
        if response.is_success:
            if response.headers.get("content-encoding", "identity") != "identity":
                await response.aclose()
                raise RemoteError(f"{target.host} packs its answers, which was not asked for.")
            return response
        try:
            said = await _error_text(response)
        finally:
            await response.aclose()
        changed = _adapted(body, said) if response.status_code in (400, 422) else None
        if changed is None:
            raise _refused(response, said, target)
        body = changed


def _adapted(body: dict[str, Any], said: str) -> dict[str, Any] | None:
    rest = dict(body)
    if "max_completion_tokens" in said and "max_tokens" in rest:
        return rest | {"max_completion_tokens": rest.pop("max_tokens")}
    for name in ("stream_options", "temperature"):
        if name in said and name in rest:
            del rest[name]
            return rest
    return None


async def _error_text(response: httpx.Response) -> str:
    read = b""
    async with asyncio.timeout(SILENCE_SECONDS):
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


# ---- What comes back ----


async def _chunks(response: httpx.Response, began: float) -> AsyncGenerator[Any, None]:
    """The JSON values of an event stream; of a server that does not stream, its one answer."""
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
        late = time.monotonic() - began > WHOLE_SECONDS
        if late or total > MOST_BYTES or len(rest) > LONGEST_LINE:
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
            "What came back is not in the chat format. Check that the address is that of an API, "
            "and ends before /chat/completions."
        ) from None


def _read(chunk: Any, ending: Event, target: Target) -> str:
    """The text of one chunk; what it says about the end goes into `ending`."""
    if not isinstance(chunk, dict):
        return ""
    if error := chunk.get("error"):
        said = error.get("message") if isinstance(error, dict) else error
        raise RemoteError(f"{target.host} broke off: {_theirs(str(said), target)}", retry_after=5)
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        ending["tokens"] = _count(usage.get("completion_tokens"))
        ending["prompt_tokens"] = _count(usage.get("prompt_tokens"))
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return ""
    if isinstance(first.get("finish_reason"), str) and first["finish_reason"]:
        ending["finish_reason"] = first["finish_reason"][:40]
    said = first.get("delta") or first.get("message") or {}
    return _text(said.get("content")) if isinstance(said, dict) else ""


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return content.encode(errors="replace").decode() if isinstance(content, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 1_000_000_000 else None


# ---- What went wrong ----


def _refused(response: httpx.Response, said: str, target: Target) -> RemoteError:
    status, host = response.status_code, target.host
    if 300 <= status < 400:
        return RemoteError(
            f"{host} sends us on to another address, which Finetune does not follow. Add the "
            "address it moved to instead."
        )
    if status in (401, 403):
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
            f"{host} has a fault of its own ({status}). Try again in a while.",
            retry_after=_seconds(response.headers.get("retry-after")),
        )
    return RemoteError(f"{host} did not take the question ({status}): {_theirs(said, target)}")


def _unreachable(problem: Exception, target: Target) -> RemoteError:
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


def _theirs(said: str, target: Target) -> str:
    """Their words, short, on one line, and without the key should they repeat it."""
    if target.key:
        said = said.replace(target.key, "…")
    said = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return said if len(said) <= 200 else said[:199] + "…"


def _seconds(text: str | None) -> float:
    return min(float(text), 600.0) if text and text.strip().isdigit() else 5.0
