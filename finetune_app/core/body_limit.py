"""Refuse what is larger than anything we take before it fills the disk or the memory.

Django gathers the whole body of a request in a temporary file before it looks at who sent it. A
file stays there; any other body is read into memory at once, and one that does not say how long
it is would pass Django's own limit.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.conf import settings

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# A file that is a little too large gets through: its page can say so beside the form.
ROOM_FOR_THE_FORM = 1024 * 1024


class BodyLimit:
    """The ASGI application, asked only while the body is no larger than an upload may be."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        counter = _Counter(receive, most=_most(scope) + ROOM_FOR_THE_FORM)
        counter.too_large = _told_length(scope) > counter.most
        if not counter.too_large:
            await self.app(scope, counter.receive, send)
        if counter.too_large:
            most = _most(scope) // (1024 * 1024)
            await refuse(
                scope,
                send,
                413,
                f"This is larger than {most} MB, the most we take at "
                "once. Go back and split the file.",
            )


class _Counter:
    """Passes the body on while it is small enough; then the app sees its sender go away."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._arrived = 0
        self.most = most
        self.too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._arrived += len(message.get("body", b""))
        if self._arrived > self.most:
            self.too_large = True
            return {"type": "http.disconnect"}
        return message


def _most(scope: Scope) -> int:
    """Bytes that may come: files in a form, pieces of a file with PUT, anything else."""
    kind = dict(scope["headers"]).get(b"content-type", b"").lower()
    is_file = scope["method"] == "PUT" or kind.startswith(b"multipart/form-data")
    return int(settings.MAX_UPLOAD_BYTES if is_file else settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _told_length(scope: Scope) -> int:
    told = dict(scope["headers"]).get(b"content-length", b"")
    return int(told[:20]) if told.isdigit() else 0  # so long a number is too large in any case


async def refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    """In plain text: nobody is known yet, nor their language. Programs get OpenAI's form."""
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
