"""Client of the engine: chat, token views, search, embeddings. Which one answers: engines.py."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import aiohttp
import httpx
from django.utils.translation import gettext as _

from finetune_app.core import engines
from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.engine_protocol import (
    ChatBody,
    ChatEvent,
    ChatRequest,
    EngineHealth,
    FoundPassage,
    TokenSpan,
)
from finetune_app.core.engines import Engine, name_of
from finetune_app.core.tracing import span

# A large model takes minutes to load before the first byte.
TIMEOUT = aiohttp.ClientTimeout(sock_connect=2.0, sock_read=300.0)


class EngineUnavailable(Exception):
    """The engine cannot answer now. The message is for the user."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class RequestRejected(EngineUnavailable):
    """The request cannot be answered as it is; `param` is the part of it that is at fault."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


async def stream_chat(
    base_model: str,
    requests: Sequence[ChatRequest],
    *,
    number_format: str = "auto",
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 17,
) -> AsyncGenerator[ChatEvent, None]:
    """Answer all requests in one batch; yields text as it is generated, and the end of each answer.

    Another engine is asked when one cannot be reached, until the first text has come. Closing the
    iterator cancels what is unfinished. Raises EngineUnavailable.
    """
    body: ChatBody = {
        "base_model": name_of(base_model),
        "number_format": number_format,
        "requests": [_named(request) for request in requests],
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
    }
    tuned = any(request.get("adapter") for request in requests)
    problem = _unavailable()
    with span("engine.chat", requests=len(requests), tuned=tuned):
        for engine in await engines.pool().in_order(body["base_model"]):
            begun = False
            try:
                async with aclosing(_chat_events(engine, body)) as events:
                    async for event in events:
                        begun = True
                        yield event
            except RequestRejected:
                raise
            except EngineUnavailable as error:
                if begun:
                    raise
                problem = problem if problem.retry_after else error
            else:
                return
    raise problem


async def _chat_events(engine: Engine, body: ChatBody) -> AsyncGenerator[ChatEvent, None]:
    """Of one engine. Raises EngineUnavailable."""
    unfinished = {request["candidate"] for request in body["requests"]}
    engine.sent += 1
    try:
        async with (
            engines.client_of(engine, TIMEOUT) as client,
            client.post("/chat", json=body) as response,
        ):
            await _raise_for_status(response)
            async for line in response.content:
                event: ChatEvent = json.loads(line)
                if event.get("done"):
                    unfinished.discard(event["candidate"])
                yield event
    except engines.UNREACHABLE as error:
        engine.was_away()
        raise _unavailable() from error
    finally:
        engine.sent -= 1
    if unfinished:  # the engine closed the stream early
        raise _unavailable()


def _named(request: ChatRequest) -> ChatRequest:
    adapter = request.get("adapter")
    return {**request, "adapter": name_of(adapter)} if adapter else request


async def token_view(
    base_model: str,
    messages: Sequence[Message],
    *,
    max_tokens: int = 1024,
    tools: Sequence[Tool] = (),
    thinking: bool = False,
) -> list[TokenSpan]:
    """A conversation as the tokens that the model reads. Raises EngineUnavailable."""
    body = {
        "base_model": name_of(base_model),
        "messages": list(messages),
        "tools": list(tools),
        "max_tokens": max_tokens,
        "thinking": thinking,
    }
    spans: list[TokenSpan] = (await _request("POST", "/tokens", body))["pieces"]
    return spans


async def count_prompt_tokens(
    base_model: str,
    messages: Sequence[Message],
    *,
    tools: Sequence[Tool] = (),
    thinking: bool = False,
) -> int:
    """How many tokens the model reads before it answers. Raises EngineUnavailable."""
    body = {
        "base_model": name_of(base_model),
        "messages": list(messages),
        "tools": list(tools),
        "thinking": thinking,
    }
    return int((await _request("POST", "/prompt-tokens", body))["tokens"])


async def search(
    index: str, question: str, *, count: int, whole: bool = False, caller: str = ""
) -> list[FoundPassage]:
    """Passages of an index that match a question, best first; empty when none does.

    index: absolute folder. whole: return all passages, in the order of the documents. caller: who
    asks; callers take turns. Raises EngineUnavailable.
    """
    body = {
        "index": name_of(index),
        "question": question,
        "count": count,
        "whole": whole,
        "caller": caller,
    }
    passages: list[FoundPassage] = (await _request("POST", "/search", body))["passages"]
    return passages


async def check_adapter(base_model: str, adapter: str, *, number_format: str = "auto") -> str:
    """What is wrong with an adapter, or "" if it changes the model's output.

    Both folders are absolute. Raises EngineUnavailable.
    """
    body = {
        "base_model": name_of(base_model),
        "adapter": name_of(adapter),
        "number_format": number_format,
    }
    return str((await _request("POST", "/check-adapter", body))["problem"])


async def embed(
    texts: Sequence[str], *, whole: bool = True, caller: str = "", background: bool = False
) -> tuple[list[list[float]], int]:
    """A vector of length 1 for each text, and the number of tokens of all texts together.

    caller, background: as of a `ChatRequest`.

    Raises EngineUnavailable, and with `whole` RequestRejected for a text longer than the embedder
    reads; else it is truncated.
    """
    body = {"texts": list(texts), "whole": whole, "caller": caller, "background": background}
    answer = await _request("POST", "/embed", body)
    return answer["vectors"], sum(answer["tokens"])


async def health() -> EngineHealth:
    """What is loaded, memory in bytes, queue length. Raises EngineUnavailable."""
    found: EngineHealth = await _request("GET", "/health")  # type: ignore[assignment]
    return found


def health_now(timeout_seconds: float, engine: Engine | None = None) -> EngineHealth:
    """`health` for synchronous code, with a timeout: of one engine, or of all together. Raises
    EngineUnavailable where none answers."""
    found = []
    there = [one for one in engines.pool().engines if not one.is_away()]
    for one in [engine] if engine else there or engines.pool().engines:
        try:
            with engines.blocking_client_of(one, httpx.Timeout(timeout_seconds)) as client:
                response = client.get("/health")
                response.raise_for_status()
                found.append(response.json())
        except httpx.ConnectError:
            one.was_away()
        except (httpx.HTTPError, ValueError):
            continue  # slow, for a page
    if not found:
        raise _unavailable()
    return engines.together(found)


async def unload() -> bool:
    """Ask the engine to unload its model. Returns False while the model is in use."""
    return bool((await _request("POST", "/unload", {}))["unloaded"])


async def _request(method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The answer of the first engine that can be reached."""
    problem = _unavailable()
    for engine in await engines.pool().in_order((body or {}).get("base_model", "")):
        try:
            async with (
                engines.client_of(engine, TIMEOUT) as client,
                client.request(method, path, json=body) as response,
            ):
                await _raise_for_status(response)
                answer: dict[str, Any] = await response.json()
                return answer
        except engines.UNREACHABLE:
            engine.was_away()
        except RequestRejected:
            raise
        except EngineUnavailable as error:
            problem = problem if problem.retry_after else error
    raise problem


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    if response.ok:
        return
    text = await response.text()
    if response.status == 429:
        raise EngineUnavailable(
            _("The model is busy with other questions. Try again in a few seconds."),
            retry_after=int(response.headers.get("Retry-After", 5)),
        )
    try:
        answer = json.loads(text)
        message, param = str(answer["error"]), answer.get("param")
    except (ValueError, KeyError):
        message, param = _("The model could not answer because of a fault in the engine."), None
    raise RequestRejected(message, param) if param else EngineUnavailable(message)


def _unavailable() -> EngineUnavailable:
    return EngineUnavailable(
        _("The model cannot be reached just now. It restarts by itself: try again in a minute.")
    )
