"""Gives each request an id, which is on its response and on each line of the log about it.

The same middleware serves the web and the engine, so that an id can be followed through both.
"""

import re
import uuid

from finetune_app.core.asgi_types import App, Message, Receive, Scope, Send
from finetune_app.core.logs import request_id

HEADER = "X-Request-ID"
_NAME = HEADER.lower().encode()
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """ASGI middleware: takes the id that the request brings, if it is a sane one, or makes one."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(_NAME, b"")
        name = given if _SANE.fullmatch(given) else uuid.uuid4().hex[:16].encode()
        request_id.set(name.decode())  # of this request's task alone

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (_NAME, name)]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, answer)
