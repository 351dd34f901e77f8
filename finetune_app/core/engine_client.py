"""Talking to the engine process, over its Unix socket: chat, token views, search, embeddings."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
from django.conf import settings
from django.utils.translation import gettext as _

from finetune_app.core.tracing import span

# Loading a large model takes a while before the first byte; silence longer than this is a fault.
SILENCE = httpx.Timeout(300.0, connect=2.0)

Lane = dict[str, Any]
Event = dict[str, Any]


class EngineUnavailable(Exception):
    """The engine cannot answer now; the message is for the person, `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(EngineUnavailable):
    """What was asked cannot be done; `param` is the part of the request that is to blame."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


async def stream_chat(
    base_model: str,
    lanes: Sequence[Lane],
    *,
    number_format: str = "auto",
    max_new_tokens: int = 400,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 17,
) -> AsyncGenerator[Event, None]:
    """Answers of all lanes as they are written, in one batch.

    lanes: {"name", "adapter": absolute folder or None, "messages"}. Yields {"lane", "text"} and
    at each lane's end {"lane", "done": True, "finish_reason", "tokens", "seconds"}, or with
    "error". Closing the iterator cancels the answers. Raises EngineUnavailable.
    """
    body = {
        "base_model": base_model,
        "number_format": number_format,
        "lanes": list(lanes),
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
    }
    unfinished = {lane["name"] for lane in lanes}
    async with _client() as client:
        try:
            tuned = any(one.get("adapter") for one in lanes)
            with span("engine.chat", lanes=len(lanes), tuned=tuned):
                async with client.stream("POST", "/chat", json=body) as response:
                    await _raise_for(response)
                    async for line in response.aiter_lines():
                        event = json.loads(line)
                        if event.get("done"):
                            unfinished.discard(event["lane"])
                        yield event
        except httpx.HTTPError as problem:
            raise _unavailable() from problem
    if unfinished:  # the engine ended in the middle
        raise _unavailable()


async def token_view(
    base_model: str, messages: Sequence[dict[str, str]], *, max_tokens: int = 1024
) -> list[dict[str, Any]]:
    """A conversation as the model reads it: pieces {"text", "learned", "cut", "special"}.

    Raises EngineUnavailable.
    """
    body = {"base_model": base_model, "messages": list(messages), "max_tokens": max_tokens}
    pieces: list[dict[str, Any]] = (await _ask("POST", "/tokens", body))["pieces"]
    return pieces


async def search(
    index: str, question: str, *, count: int, whole: bool = False
) -> list[dict[str, Any]]:
    """Passages of an index (an absolute folder), best first, as fields of composing.Passage; none
    when nothing fits. `whole`: all of them, in the documents' order.

    Raises EngineUnavailable.
    """
    body = {"index": index, "question": question, "count": count, "whole": whole}
    passages: list[dict[str, Any]] = (await _ask("POST", "/search", body))["passages"]
    return passages


async def check_adapter(base_model: str, adapter: str, *, number_format: str = "auto") -> str:
    """Whether an adapter changes anything: what is wrong with it, or "". Folders are absolute.

    Raises EngineUnavailable.
    """
    body = {"base_model": base_model, "adapter": adapter, "number_format": number_format}
    return str((await _ask("POST", "/check-adapter", body))["problem"])


async def embed(texts: Sequence[str]) -> tuple[list[list[float]], int]:
    """A vector of length 1 for each text, and how many tokens they have in all.

    Raises EngineUnavailable; Refused for a text that is longer than the embedder reads.
    """
    answer = await _ask("POST", "/embed", {"texts": list(texts), "whole": True})
    return answer["vectors"], sum(answer["tokens"])


async def health() -> dict[str, Any]:
    """What is loaded, memory in bytes, queue length. Raises EngineUnavailable."""
    return await _ask("GET", "/health")


def health_now(patience: float) -> dict[str, Any]:
    """The same for a page, which waits no longer than `patience` seconds. Raises
    EngineUnavailable."""
    transport = httpx.HTTPTransport(uds=str(settings.ENGINE_SOCKET))
    with httpx.Client(
        transport=transport, base_url="http://engine", headers=_secret(), timeout=patience
    ) as client:
        try:
            response = client.get("/health")
            response.raise_for_status()
            found: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as problem:
            raise _unavailable() from problem
    return found


async def unload() -> bool:
    """Ask the engine to free its memory; False while somebody uses it."""
    return bool((await _ask("POST", "/unload", {}))["unloaded"])


async def _ask(method: str, path: str, body: object = None) -> dict[str, Any]:
    async with _client() as client:
        try:
            response = await client.request(method, path, json=body)
        except httpx.HTTPError as problem:
            raise _unavailable() from problem
        await _raise_for(response)
        answer: dict[str, Any] = response.json()
        return answer


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(settings.ENGINE_SOCKET)),
        base_url="http://engine",
        headers=_secret(),
        timeout=SILENCE,
    )


def _secret() -> dict[str, str]:
    return {"X-Engine-Secret": settings.ENGINE_SECRET}


async def _raise_for(response: httpx.Response) -> None:
    if response.is_success:
        return
    await response.aread()
    if response.status_code == 429:
        raise EngineUnavailable(
            _("The model is busy with other questions. Try again in a few seconds."),
            retry_after=int(response.headers.get("Retry-After", 5)),
        )
    try:
        told = response.json()
        message, param = str(told["error"]), told.get("param")
    except (ValueError, KeyError):
        message, param = _("The model could not answer because of a fault in the engine."), None
    raise Refused(message, param) if param else EngineUnavailable(message)


def _unavailable() -> EngineUnavailable:
    return EngineUnavailable(
        _("The model cannot be reached just now. It restarts by itself: try again in a minute.")
    )
