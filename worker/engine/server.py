"""The engine process: chat, token views, search and embeddings over HTTP on a Unix socket, or on a
network.

    python -m worker.engine.server --socket PATH [--idle-unload SECONDS]
    python -m worker.engine.server --listen HOST:PORT

Requests need the X-Engine-Secret header with FINETUNE_ENGINE_SECRET; only folders below
FINETUNE_DATA_DIR are read, fetched from the shared store where there is one. The process ends with
its parent, and soon after a SIGTERM (listening.py).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from finetune_app.core import in_use, logs
from finetune_app.core.engine_protocol import (
    MAX_ANSWERS,
    MAX_LOGPROBS,
    MAX_NEW_TOKENS,
    MAX_THOUGHT_TOKENS,
    ChatBody,
    ChatEvent,
    ChatRequest,
    TokenSpan,
)
from finetune_app.core.request_ids import RequestIds
from worker.channel import UserError
from worker.engine import retrieval
from worker.engine.backend import Backend, Handle, Listener, StreamItem
from worker.engine.listening import exit_with_parent, listen, listen_on_network, server_for
from worker.engine.model_manager import (
    IDLE_UNLOAD_SECONDS,
    ModelManager,
    PathNotAllowed,
    folder_of,
)
from worker.engine.request_queue import QueueFull, RequestQueue
from worker.engine.requests import Completion, GenerationRequest, TextWithLogprobs, ThoughtText

log = logging.getLogger("worker.engine.server")  # as a program, __name__ is __main__

NdjsonLines = AsyncIterator[bytes]
# After each step the thread that computes needs the interpreter. Python would let it wait for ten
# times as long while this one writes answers.
SWITCH_SECONDS = 0.0005


# --- routes ---------------------------------------------------------------------------


async def health(request: Request) -> Response:
    return JSONResponse(_models(request).health())


async def unload(request: Request) -> Response:
    return JSONResponse({"unloaded": await _models(request).unload()})


async def tokens(request: Request) -> Response:
    """A conversation as `TokenSpan`s."""
    body, models = await request.json(), _models(request)
    base = await folder_of(models, body["base_model"])

    def view() -> list[TokenSpan]:
        from worker import template

        tokenizer = template.load_tokenizer(base)
        limit, tools = int(body.get("max_tokens", 1024)), body.get("tools") or ()
        thinking = bool(body.get("thinking"))
        spans = template.token_spans(tokenizer, body["messages"], limit, tools, thinking=thinking)
        return [cast(TokenSpan, vars(span)) for span in spans]

    return JSONResponse({"pieces": await asyncio.to_thread(view)})


async def prompt_tokens(request: Request) -> Response:
    """{"tokens"}: how many tokens of a conversation `chat` would read. Loads no model."""
    body, models = await request.json(), _models(request)
    base = await folder_of(models, body["base_model"])

    def count() -> int:
        from worker import template

        return len(
            template.prompt_token_ids(
                template.load_tokenizer(base),
                body["messages"],
                body.get("tools") or (),
                thinking=bool(body.get("thinking")),
            )
        )

    return JSONResponse({"tokens": await asyncio.to_thread(count)})


async def check_adapter(request: Request) -> Response:
    """{"problem"}: what is wrong with an adapter; empty if it changes the model's output."""
    from worker.engine.adapters import BadAdapter

    body, models = await request.json(), _models(request)
    base = await folder_of(models, body["base_model"])
    adapter = await folder_of(models, body["adapter"])
    number_format = str(body.get("number_format", "auto"))
    try:
        async with models.acquire(
            base, number_format, 1, lambda backend: backend.check_adapter(adapter)
        ):
            return JSONResponse({"problem": ""})
    except BadAdapter as error:
        return JSONResponse({"problem": str(error)})


async def chat(request: Request) -> Response:
    """Answers several requests in one batch, as NDJSON lines of `ChatEvent`."""
    models = _models(request)
    body: ChatBody = await request.json()
    base = await folder_of(models, body["base_model"])
    adapters = {one.get("adapter") for one in body["requests"]} - {None, ""}
    folders = {str(adapter): await folder_of(models, adapter) for adapter in adapters}
    requests = {
        str(one["candidate"]): _generation_request(body, one, folders) for one in body["requests"]
    }
    log.info("chat: %d answers of %s", len(requests), base.name)
    if not 1 <= len(requests) <= MAX_ANSWERS or len(requests) != len(body["requests"]):
        raise ValueError(f"Ask 1 to {MAX_ANSWERS} candidates, each with its own name.")
    prepared: dict[str, GenerationRequest] = {}

    def prepare(backend: Backend) -> None:
        answers = backend.prepare(list(requests.values()))
        prepared.update(zip(requests, answers, strict=True))

    stack = contextlib.AsyncExitStack()
    # Acquire the model before answering, so that a full queue or a broken model has a status.
    backend = await stack.enter_async_context(
        models.acquire(
            base,
            str(body.get("number_format", "auto")),
            len(requests),
            prepare,
            caller=str(body["requests"][0].get("caller", "")),
            background=any(one.get("background") for one in body["requests"]),
        )
    )
    return ChatResponse(_stream(backend, prepared, stack), stack)


class ChatResponse(StreamingResponse):
    """Releases the model however the response ends, even before its first line."""

    def __init__(self, lines: NdjsonLines, stack: contextlib.AsyncExitStack) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self.stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.stack.aclose()


async def _stream(
    backend: Backend, requests: dict[str, GenerationRequest], stack: contextlib.AsyncExitStack
) -> NdjsonLines:
    """Lines of all candidates as they are written; closing the stack cancels the unfinished."""
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[str, StreamItem]] = asyncio.Queue()
    handles: dict[str, Handle] = {}

    def listener(name: str) -> Listener:
        return lambda item: loop.call_soon_threadsafe(items.put_nowait, (name, item))

    for name, request in requests.items():
        try:
            handles[name] = backend.submit(request, listener(name))
            stack.callback(handles[name].cancel)
        except Exception as error:  # only this candidate fails; the others continue
            items.put_nowait((name, error))
    unfinished = set(requests)
    while unfinished:
        name, item = await items.get()
        if isinstance(item, str):
            event = _text_event(item, handles[name])
        else:
            unfinished.discard(name)
            event = _last_event(item)
        yield json.dumps({"candidate": name, **event}).encode() + b"\n"


def _text_event(text: str, handle: Handle) -> ChatEvent:
    event: ChatEvent = {"tokens": handle.tokens, "prompt_tokens": handle.prompt_tokens}
    if isinstance(text, ThoughtText):
        return {**event, "thought": text}
    if isinstance(text, TextWithLogprobs):
        return {**event, "text": text, "logprobs": text.logprobs}
    return {**event, "text": text}


def _last_event(item: Completion | Exception) -> ChatEvent:
    if isinstance(item, Completion):
        return {
            "done": True,
            "finish_reason": item.finish_reason,
            "tokens": item.tokens,
            "thought_tokens": item.thought_tokens,
            "prompt_tokens": item.prompt_tokens,
            "seconds": round(item.seconds, 3),
        }
    event: ChatEvent = {"done": True, "finish_reason": "error", "error": str(item)}
    if code := getattr(item, "code", None):
        event["code"] = code
    if param := getattr(item, "param", None):
        event["param"] = param
    return event


def _generation_request(
    body: ChatBody, request: ChatRequest, folders: Mapping[str, Path]
) -> GenerationRequest:
    """Limits every number to what the engine accepts. `folders`: of adapters, by their names."""
    options: dict[str, Any] = {**body, **request}
    adapter, top_logprobs = request.get("adapter"), options.get("top_logprobs")
    return GenerationRequest(
        messages=request["messages"],
        tools=tuple(request.get("tools") or ()),
        prompt=request.get("prompt"),
        adapter=folders[adapter] if adapter else None,
        max_new_tokens=min(int(options["max_new_tokens"]), MAX_NEW_TOKENS),
        thought_tokens=min(int(options.get("thought_tokens", 0)), MAX_THOUGHT_TOKENS),
        temperature=max(0.0, float(options.get("temperature", 0))),
        top_p=float(options.get("top_p", 1)),
        seed=int(options.get("seed", 17)),
        stop=tuple(options.get("stop", ())),
        require_effect=bool(options.get("require_effect")),
        caller=str(request.get("caller", "")),
        is_one_of_several=len(body["requests"]) > 1,
        schema=options.get("schema"),
        required_tools=tuple(options.get("required_tools") or ()),
        parallel_tool_calls=bool(options.get("parallel_tool_calls", True)),
        presence_penalty=float(options.get("presence_penalty", 0)),
        frequency_penalty=float(options.get("frequency_penalty", 0)),
        top_logprobs=None if top_logprobs is None else max(0, min(int(top_logprobs), MAX_LOGPROBS)),
    )


def _models(request: Request) -> ModelManager:
    models: ModelManager = request.app.state.models
    return models


# --- the application ------------------------------------------------------------------


class RequireSecret:
    """Answers 403 to requests without the secret."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self.app, self.secret = app, secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"x-engine-secret", b"")
            if not hmac.compare_digest(given, self.secret):
                await _error(403, "The secret is missing or wrong.")(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _error(
    status: int, message: str, headers: dict[str, str] | None = None, param: str | None = None
) -> JSONResponse:
    body = {"error": message, "param": param} if param else {"error": message}
    return JSONResponse(body, status_code=status, headers=headers)


async def _too_many_requests(_request: Request, _error_raised: Exception) -> Response:
    seconds = str(QueueFull.retry_after_seconds)
    return _error(429, "The model is busy. Try again in a moment.", {"Retry-After": seconds})


async def _client_closed_request(_request: Request, _error_raised: Exception) -> Response:
    return Response(status_code=499)  # for the log: nobody reads it


async def _unprocessable(_request: Request, error: Exception) -> Response:
    if isinstance(error, KeyError):
        return _error(422, f"Missing: {error.args[0]}")
    return _error(422, str(error), param=getattr(error, "param", None))


def make_app(models: ModelManager, secret: str) -> Starlette:
    """The ASGI application around a model manager."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        unloading = [
            asyncio.create_task(one.unload_when_idle()) for one in (models, app.state.retriever)
        ]
        yield
        for task in unloading:
            task.cancel()

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/chat", chat, methods=["POST"]),
            Route("/check-adapter", check_adapter, methods=["POST"]),
            Route("/tokens", tokens, methods=["POST"]),
            Route("/prompt-tokens", prompt_tokens, methods=["POST"]),
            Route("/unload", unload, methods=["POST"]),
            Route("/search", retrieval.search, methods=["POST"]),
            Route("/embed", retrieval.embed, methods=["POST"]),
        ],
        middleware=[Middleware(RequestIds), Middleware(RequireSecret, secret=secret)],
        exception_handlers={
            QueueFull: _too_many_requests,
            ClientDisconnect: _client_closed_request,
            PathNotAllowed: _unprocessable,
            UserError: _unprocessable,
            ValueError: _unprocessable,
            KeyError: _unprocessable,
        },
        lifespan=lifespan,
    )
    app.state.models = models
    app.state.retriever = retrieval.Retriever(models.idle_unload_seconds)
    return app


# --- the process ----------------------------------------------------------------------


def shared_store() -> Callable[[str], Path] | None:
    """Fetches a folder from the shared store of files to this host; None where there is none."""
    if not os.environ.get("S3_BUCKET"):
        return None
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
    django.setup()
    from finetune_app.core import files, local_copies

    local_copies.tidy_in_background()
    return files.local_folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.engine.server")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path)
    where.add_argument("--listen", help="host:port, for a web on another host")
    parser.add_argument("--idle-unload", type=float, default=IDLE_UNLOAD_SECONDS, help="seconds")
    parser.add_argument("--queue-limit", type=int, default=RequestQueue.limit, help="requests")
    options = parser.parse_args()
    secret, data = os.environ.get("FINETUNE_ENGINE_SECRET"), os.environ.get("FINETUNE_DATA_DIR")
    if not secret or not data:
        parser.error("FINETUNE_ENGINE_SECRET and FINETUNE_DATA_DIR must be set")
    logs.configure()
    sys.setswitchinterval(SWITCH_SECONDS)
    exit_with_parent()
    in_use.hold(Path(data), "engine")
    models = ModelManager(
        Path(data),
        RequestQueue(options.queue_limit),
        options.idle_unload,
        fetch=shared_store(),
    )
    app = make_app(models, secret)
    server = server_for(app, secret=secret, on_network=bool(options.listen))
    socket = listen_on_network(options.listen) if options.listen else listen(options.socket)
    server.run(sockets=[socket])
    os._exit(0)


if __name__ == "__main__":
    main()
