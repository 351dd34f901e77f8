"""Let go of whoever sends or reads so slowly that they only keep others waiting.

A request that arrives byte by byte, or an answer that nobody reads, would hold its connection and
with it a place in the engine's queue for as long as somebody likes.
"""

import asyncio
import time

from finetune_app.core.body_limit import App, Message, Receive, Scope, Send, refuse

BODY_GRACE_SECONDS = 60.0  # seconds in which a body may begin
MIN_BYTES_PER_SECOND = 4_000  # bytes a second after that
READ_TIMEOUT_SECONDS = 120.0  # in which one piece of an answer is taken


class ClientTooSlow(Exception):
    """They do not read. What was being written for them ends."""


class SlowClientTimeout:
    """The ASGI application, with an end to waiting."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        waiting = _TimedConnection(receive, send)
        try:
            await self.app(scope, waiting.receive, waiting.send)
        except ClientTooSlow:
            return
        if waiting.too_slow and not waiting.answered:
            text = "The request took too long to arrive. Try again on a better connection."
            await refuse(scope, send, 408, text)


class _TimedConnection:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._began, self._arrived, self._whole = time.monotonic(), 0, False
        self.too_slow = self.answered = False

    async def receive(self) -> Message:
        """As it comes; to the app, who is too slow has gone away."""
        if self._whole:  # now it waits for the answer, and may do so for long
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
