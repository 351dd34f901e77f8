"""Whether the process lives, and whether what it needs is there: /livez and /readyz.

Both are answered before Django's middleware: a probe names no allowed host, follows no redirect to
https, and is not to wait for a thread while the web is busy. They need no sign-in and tell only
which part is down. `manage.py healthy` asks the same for the other processes.
"""

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import redis
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from finetune_app.core import schema
from finetune_app.core.asgi_types import App, Receive, Scope, Send
from finetune_app.core.files import is_local

log = logging.getLogger(__name__)

LIVE, READY = "/livez", "/readyz"
TIME_LIMIT_SECONDS = 2.0  # for all parts together
REUSED_SECONDS = 1.0  # an answer serves all who ask within this time


class NotReady(Exception):
    """A part answers, but not as it should. The message may be told to anybody."""


def database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def migrations() -> None:
    try:
        if schema.is_behind():
            raise NotReady("The database is of an older version: `manage.py prepare` migrates it.")
        schema.refuse_newer()
    except schema.NewerDatabase as newer:
        raise NotReady(str(newer)) from newer
    finally:
        connection.close()


def broker() -> None:
    url = settings.REDIS_URL.replace("redis+socket://", "unix://")
    once = Retry(NoBackoff(), 0)
    with redis.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=once) as client:
        client.ping()


def store() -> None:
    if is_local() and not os.access(settings.DATA_DIR, os.W_OK | os.X_OK):
        raise NotReady
    default_storage.exists("secrets.json")  # raises while a remote store does not answer


PARTS: dict[str, Callable[[], None]] = {
    "database": database,
    "migrations": migrations,
    "broker": broker,
    "store": store,
}
# As many threads as parts, and of each part at most one question under way: one that hangs leaves
# the others their threads.
_pool = ThreadPoolExecutor(max_workers=len(PARTS), thread_name_prefix="health")
_asked: dict[str, Future[None]] = {}
_lock = threading.Lock()
_last: tuple[float, dict[str, str]] = (float("-inf"), {})


def parts_down() -> dict[str, str]:
    """Names of the parts that do not answer in time, each with the reason or "".

    Takes at most TIME_LIMIT_SECONDS.
    """
    global _last
    with _lock:
        asked_at, down = _last
        if time.monotonic() - asked_at > REUSED_SECONDS:
            down = _ask_all()
            _last = (time.monotonic(), down)
        return down


def _ask_all() -> dict[str, str]:
    until = time.monotonic() + TIME_LIMIT_SECONDS
    asked = {name: _question(name, ask) for name, ask in PARTS.items()}
    down = {}
    for name, answer in asked.items():
        try:
            answer.result(timeout=max(until - time.monotonic(), 0))
        except Exception as error:  # whatever its client raises; its text may hold an address
            log.warning("not ready: %s (%s)", name, type(error).__name__)
            down[name] = str(error) if isinstance(error, NotReady) else ""
    return down


def _question(name: str, ask: Callable[[], None]) -> Future[None]:
    """The one of the last time, if it still waits for its answer."""
    asked = _asked.get(name)
    if asked is None or asked.done():
        asked = _asked[name] = _pool.submit(ask)
    return asked


class HealthEndpoints:
    """ASGI middleware that answers the two addresses."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in (LIVE, READY):
            await self.app(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, {"error": "Use GET."})
        elif scope["path"] == LIVE:
            await _answer(send, 200, {"status": "ok"})
        else:
            down = await asyncio.to_thread(parts_down)
            parts = {name: "down" if name in down else "ok" for name in PARTS}
            status = {"status": "down" if down else "ok"}
            reason = " ".join(filter(None, down.values()))
            told = {"reason": reason} if reason else {}
            await _answer(send, 503 if down else 200, status | parts | told)


async def _answer(send: Send, status: int, body: dict[str, str]) -> None:
    text = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(text)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
