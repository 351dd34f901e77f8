"""Rejects request bodies that are larger than any accepted upload.

Under ASGI, Django stores the whole body in a temporary file before any view runs. Bodies other
than files are then read into memory, and a body without Content-Length bypasses Django's limit.
"""

import json
from collections.abc import Awaitable, Callable

from django.conf import settings

from finetune_app.core.asgi_types import App, Message, Receive, Scope, Send

IsKnownSender = Callable[[Scope], Awaitable[bool]]

# A file slightly above the limit passes, so that the form can show the error.
FORM_OVERHEAD_BYTES = 1024 * 1024
UNKNOWN_SENDER_BYTES = 1024 * 1024  # enough for every form before sign-in


class BodyLimit:
    """ASGI middleware that answers 413 to bodies above the limit.

    Senders that `is_known_sender` does not know may send UNKNOWN_SENDER_BYTES: a body is stored on
    disk before a view can ask who sent it.
    """

    def __init__(self, app: App, is_known_sender: IsKnownSender) -> None:
        self.app = app
        self.is_known_sender = is_known_sender

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit, known = _limit(scope), True
        if _may_exceed(scope, UNKNOWN_SENDER_BYTES) and not await self.is_known_sender(scope):
            limit, known = UNKNOWN_SENDER_BYTES, False
        counter = _Counter(receive, limit=limit + FORM_OVERHEAD_BYTES)
        counter.too_large = _content_length(scope) > counter.limit
        if not counter.too_large:
            await self.app(scope, counter.receive, send)
        if counter.too_large and known:
            text = f"This is larger than {limit // (1024 * 1024)} MB, the most we take at once."
            await refuse(scope, send, 413, text + " Go back and split the file.")
        elif counter.too_large:
            text = "Something this large needs a sign-in or a valid API key. Sign in and try again."
            await refuse(scope, send, 401, text)


class _Counter:
    """Forwards the body up to the limit; then the app sees the client disconnect."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._received = 0
        self.limit = limit
        self.too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self.limit:
            self.too_large = True
            return {"type": "http.disconnect"}
        return message


def _limit(scope: Scope) -> int:
    """The limit in bytes: larger for forms with files and chunks of a file (PUT)."""
    kind = dict(scope["headers"]).get(b"content-type", b"").lower()
    is_file = scope["method"] == "PUT" or kind.startswith(b"multipart/form-data")
    return int(settings.MAX_UPLOAD_BYTES if is_file else settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _content_length(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"")
    return int(value[:20]) if value.isdigit() else 0  # a longer number is too large in any case


def _may_exceed(scope: Scope, limit: int) -> bool:
    """Whether the body is longer than `limit`, or does not say how long it is."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:  # any method may have a body then; a length says nothing
        return True
    if b"content-length" in headers:
        return _content_length(scope) > limit or not headers[b"content-length"].isdigit()
    return scope["method"] not in ("GET", "HEAD", "OPTIONS")


async def refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    """Plain text, since neither user nor language is known; API clients get OpenAI's format."""
    kind, body = b"text/plain; charset=utf-8", text.encode()
    if scope["path"].startswith("/v1/"):
        error = {"message": text, "type": "invalid_request_error", "param": None, "code": None}
        kind, body = b"application/json", json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
