"""Refuse what is larger than anything we take before it fills the disk.

Django gathers the whole body of a request in a temporary file before it looks at who sent it.
"""

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


class BodyCap:
    """The ASGI application, asked only while the body is no larger than an upload may be."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        counter = _Counter(receive, most=settings.MAX_UPLOAD_BYTES + ROOM_FOR_THE_FORM)
        counter.too_large = _told_length(scope) > counter.most
        if not counter.too_large:
            await self.app(scope, counter.receive, send)
        if counter.too_large:
            await _refuse(send)


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


def _told_length(scope: Scope) -> int:
    told = dict(scope["headers"]).get(b"content-length", b"")
    return int(told[:20]) if told.isdigit() else 0  # so long a number is too large in any case


async def _refuse(send: Send) -> None:
    """In plain text: nobody is known yet, nor their language."""
    most = settings.MAX_UPLOAD_BYTES // (1024 * 1024)
    text = f"This is larger than {most} MB, the most we take at once. Go back and split the file."
    length = str(len(text)).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
