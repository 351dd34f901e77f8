"""Disconnects clients that send or read too slowly.

A request that arrives byte by byte, or a response that is not read, would otherwise hold its
connection and its slot in the engine's queue indefinitely.
"""

import asyncio
import time

from finetune_app.core.asgi_types import App, Message, Receive, Scope, Send
from finetune_app.core.body_limit import refuse

BODY_GRACE_SECONDS = 60.0  # seconds before the minimum rate applies
MIN_BYTES_PER_SECOND = 4_000  # of a body, after the grace period
READ_TIMEOUT_SECONDS = 120.0  # for the client to read one chunk


class ClientTooSlow(Exception):
    """The client does not read the response, which ends."""


class SlowClientTimeout:
    """ASGI middleware with timeouts for slow clients."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        connection = _TimedConnection(receive, send)
        try:
            await self.app(scope, connection.receive, connection.send)
        except ClientTooSlow:
            return
        if connection.too_slow and not connection.answered:
            text = "The request took too long to arrive. Try again on a better connection."
            await refuse(scope, send, 408, text)


class _TimedConnection:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._began, self._arrived, self._whole = time.monotonic(), 0, False
        self.too_slow = self.answered = False

    async def receive(self) -> Message:
        """Receive a message; the app sees a slow client as disconnected."""
        if self._whole:  # now the client may wait long for the response
            return await self._receive()
        until = self._began + BODY_GRACE_SECONDS + self._arrived / MIN_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            self.too_slow = True
            return {"type": "http.disconnect"}
        self._arrived += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        self.answered = True
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise ClientTooSlow from None
