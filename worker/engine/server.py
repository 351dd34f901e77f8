"""The engine over HTTP on a Unix socket, for the web application's chat, token views and search.

    python -m worker.engine.server --socket PATH [--idle-unload 600]

FINETUNE_ENGINE_SECRET must be sent in the X-Engine-Secret header; only folders below
FINETUNE_DATA_DIR are read. The process ends with its parent, and within 2 s of a SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import json
import logging
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.channel import UserError
from worker.engine import retrieval
from worker.engine.backend import Backend
from worker.engine.model_manager import ModelManager, PathNotAllowed, QueueFull
from worker.engine.requests import Completion, GenerationRequest, TextWithLogprobs

log = logging.getLogger(__name__)

MAX_LANES = 8
MAX_NEW_TOKENS = 4096
MAX_LOGPROBS = 20
Lines = AsyncIterator[bytes]


# --- routes ---------------------------------------------------------------------------


async def health(request: HttpRequest) -> Response:
    return JSONResponse(_manager(request).health())


async def unload(request: HttpRequest) -> Response:
    return JSONResponse({"unloaded": await _manager(request).unload()})


async def tokens(request: HttpRequest) -> Response:
    """A conversation as pieces of text: {"text", "learned", "cut", "special"}."""
    asked, manager = await request.json(), _manager(request)
    base = manager.folder(asked["base_model"])

    def view() -> dict[str, Any]:
        from worker import template

        tokenizer = template.load_tokenizer(base)
        shown = template.token_spans(
            tokenizer, asked["messages"], int(asked.get("max_tokens", 1024))
        )
        return {"pieces": [vars(piece) for piece in shown]}

    return JSONResponse(await asyncio.to_thread(view))


async def check_adapter(request: HttpRequest) -> Response:
    """Whether an adapter changes anything: {"problem"}, empty where it does."""
    from worker.engine.adapters import BadAdapter

    asked, manager = await request.json(), _manager(request)
    base, adapter = manager.folder(asked["base_model"]), manager.folder(asked["adapter"])
    number_format = str(asked.get("number_format", "auto"))
    try:
        async with manager.acquire(
            base, number_format, 1, lambda engine: engine.check_adapter(adapter)
        ):
            return JSONResponse({"problem": ""})
    except BadAdapter as problem:
        return JSONResponse({"problem": str(problem)})


async def chat(request: HttpRequest) -> Response:
    """Several lanes answer the same or different conversations in one batch, as NDJSON."""
    asked, manager = await request.json(), _manager(request)
    base = manager.folder(asked["base_model"])
    lanes = {str(lane["name"]): _lane(asked, lane, manager) for lane in asked["lanes"]}
    if not 1 <= len(lanes) <= MAX_LANES or len(lanes) != len(asked["lanes"]):
        raise ValueError(f"Ask for 1 to {MAX_LANES} lanes, each with its own name.")
    stay = contextlib.AsyncExitStack()
    # Enter before answering, so that a full queue or a broken model has a proper status.
    engine = await stay.enter_async_context(
        manager.acquire(
            base,
            str(asked.get("number_format", "auto")),
            len(lanes),
            lambda engine: engine.prepare(list(lanes.values())),
        )
    )
    return ChatResponse(_stream(engine, lanes, stay), stay)


class ChatResponse(StreamingResponse):
    """Leaves the manager whatever ends the response, even before its first line."""

    def __init__(self, lines: Lines, stay: contextlib.AsyncExitStack) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self.stay = stay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.stay.aclose()


async def _stream(
    engine: Backend, lanes: dict[str, GenerationRequest], stay: contextlib.AsyncExitStack
) -> Lines:
    """NDJSON lines of all lanes as they come; what is unfinished when we leave is cancelled."""
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def listen(name: str) -> Any:
        return lambda item: loop.call_soon_threadsafe(news.put_nowait, (name, item))

    for name, lane in lanes.items():
        try:
            stay.callback(engine.submit(lane, listen(name)).cancel)
        except Exception as problem:  # this lane's alone; the others go on
            news.put_nowait((name, problem))
    unfinished = set(lanes)
    while unfinished:
        name, item = await news.get()
        if not isinstance(item, str):
            unfinished.discard(name)
        yield json.dumps({"lane": name, **_line(item)}).encode() + b"\n"


def _line(item: str | Completion | Exception) -> dict[str, Any]:
    if isinstance(item, TextWithLogprobs):
        return {"text": item, "logprobs": item.logprobs}
    if isinstance(item, str):
        return {"text": item}
    if isinstance(item, Completion):
        return {
            "done": True,
            "finish_reason": item.finish_reason,
            "tokens": item.tokens,
            "prompt_tokens": item.prompt_tokens,
            "seconds": round(item.seconds, 3),
        }
    end = {"done": True, "finish_reason": "error", "error": str(item)}
    for name in ("code", "param"):  # the kind of error, and the field of the request that caused it
        if found := getattr(item, name, None):
            end[name] = found
    return end


def _lane(asked: dict[str, Any], lane: dict[str, Any], manager: ModelManager) -> GenerationRequest:
    options = {**asked, **lane}
    adapter, told = lane.get("adapter"), options.get("top_logprobs")
    return GenerationRequest(
        messages=lane["messages"],
        prompt=lane.get("prompt"),
        adapter=manager.folder(adapter) if adapter else None,
        max_new_tokens=min(int(options.get("max_new_tokens", 400)), MAX_NEW_TOKENS),
        temperature=max(0.0, float(options.get("temperature", 0))),
        top_p=float(options.get("top_p", 1)),
        seed=int(options.get("seed", 17)),
        stop=tuple(options.get("stop", ())),
        require_effect=bool(options.get("require_effect")),
        schema=options.get("schema"),
        presence_penalty=float(options.get("presence_penalty", 0)),
        frequency_penalty=float(options.get("frequency_penalty", 0)),
        top_logprobs=None if told is None else max(0, min(int(told), MAX_LOGPROBS)),
    )


def _manager(request: HttpRequest) -> ModelManager:
    manager: ModelManager = request.app.state.manager
    return manager


# --- the application ------------------------------------------------------------------


class NeedsSecret:
    """Answers 403 to whoever does not send the secret."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self.app, self.secret = app, secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"x-engine-secret", b"")
            if not hmac.compare_digest(given, self.secret):
                await _refuse(403, "The secret is missing or wrong.")(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _refuse(
    status: int, message: str, headers: dict[str, str] | None = None, param: str | None = None
) -> JSONResponse:
    told = {"error": message, "param": param} if param else {"error": message}
    return JSONResponse(told, status_code=status, headers=headers)


async def _too_busy(_request: HttpRequest, problem: Exception) -> Response:
    seconds = str(QueueFull.retry_after_seconds)
    return _refuse(429, "The model is busy. Try again in a moment.", {"Retry-After": seconds})


async def _bad_request(_request: HttpRequest, problem: Exception) -> Response:
    if isinstance(problem, KeyError):
        return _refuse(422, f"Missing: {problem.args[0]}")
    return _refuse(422, str(problem), param=getattr(problem, "param", None))


def make_app(manager: ModelManager, secret: str) -> Starlette:
    """The ASGI application around one manager."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        retriever = app.state.retriever
        idle = [asyncio.create_task(one.unload_when_idle()) for one in (manager, retriever)]
        yield
        for task in idle:
            task.cancel()

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/chat", chat, methods=["POST"]),
            Route("/check-adapter", check_adapter, methods=["POST"]),
            Route("/tokens", tokens, methods=["POST"]),
            Route("/unload", unload, methods=["POST"]),
            Route("/search", retrieval.search, methods=["POST"]),
            Route("/embed", retrieval.embed, methods=["POST"]),
        ],
        middleware=[Middleware(NeedsSecret, secret=secret)],
        exception_handlers={
            QueueFull: _too_busy,
            PathNotAllowed: _bad_request,
            UserError: _bad_request,
            ValueError: _bad_request,
            KeyError: _bad_request,
        },
        lifespan=lifespan,
    )
    app.state.manager = manager
    app.state.retriever = retrieval.Retriever(manager.idle_unload_seconds)
    return app


# --- the process ----------------------------------------------------------------------


def end_with_parent() -> None:
    """Exit when the parent is gone, however it went.

    A watcher thread, because the kernel's parent-death signal is tied to the thread that
    started this process and would fire when only that thread ends.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    def listen() -> None:
        while sys.stdin.buffer.read(1024):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    if stat.S_ISFIFO(os.fstat(0).st_mode):  # a pipe that the parent holds
        threading.Thread(target=listen, daemon=True).start()


class Server(uvicorn.Server):
    """Ends in time: a model that is loading, or a step under way, is not waited for."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        last_call = threading.Timer(1.5, os._exit, (0,))
        last_call.daemon = True
        last_call.start()
        await super().shutdown(sockets)


def open_socket(path: Path) -> socket.socket:
    """A listening place that only this user may open; a dead predecessor's is replaced.

    It gets its name once it listens: whoever sees the file can connect, even while the server
    behind it is still starting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        place.bind(str(draft))
    finally:
        os.umask(old)
    place.listen(128)
    draft.replace(path)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.engine.server")
    parser.add_argument("--socket", required=True, type=Path)
    parser.add_argument("--idle-unload", type=float, default=600.0, help="seconds")
    parser.add_argument("--queue-limit", type=int, default=64, help="requests")
    options = parser.parse_args()
    secret, data = os.environ.get("FINETUNE_ENGINE_SECRET"), os.environ.get("FINETUNE_DATA_DIR")
    if not secret or not data:
        parser.error("FINETUNE_ENGINE_SECRET and FINETUNE_DATA_DIR must be set")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    end_with_parent()
    manager = ModelManager(Path(data), options.queue_limit, options.idle_unload)
    config = uvicorn.Config(
        make_app(manager, secret),
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    Server(config).run(sockets=[open_socket(options.socket)])
    os._exit(0)


if __name__ == "__main__":
    main()
