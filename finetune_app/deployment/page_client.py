"""A deployment is asked from a page of ours, as a program would ask it: the same checks, the same
release for the same asker, the same note afterwards. Only there is no key."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from finetune_app.deployment.api import models
from finetune_app.deployment.api.chat import Call
from finetune_app.deployment.api.errors import GONE, ApiError
from finetune_app.deployment.api.schemas import Reply, read_chat
from finetune_app.deployment.models import Deployment


def prepare(deployment: Deployment, asker: str, given: dict[str, Any]) -> Call:
    """`given` as in the body of /v1/chat/completions, but for the model. Raises ApiError."""
    body = json.dumps(given | {"model": deployment.name}, ensure_ascii=False).encode()
    asked = read_chat(body)
    served = models.serve(deployment, f"{asker}:{asked.asker}")
    return Call(None, asked, Reply(asked.model, asked.n), served=served)


def read_history(text: str, most: int = 40) -> list[dict[str, str]]:
    """What was said before, from a page's hidden field. Anything odd is dropped, not trusted; what
    is not a question or an answer (a system message) among it."""
    try:
        rows = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return [
        {"role": row["role"], "content": row["content"]}
        for row in (rows if isinstance(rows, list) else [])[-most:]
        if isinstance(row, dict)
        and row.get("role") in ("user", "assistant")
        and isinstance(row.get("content"), str)
    ]


async def events(call: Call) -> AsyncGenerator[dict[str, Any], None]:
    """{"text"} as it comes, and at last {"done", "id", "tokens", "prompt_tokens", "seconds",
    "finish_reason", "version"} or {"error"}. Closing it cancels the answer."""
    status, code = GONE, "gone"
    try:
        async with aclosing(call.answers()) as items:
            async for item in items:
                if item.get("text"):
                    yield {"text": item["text"]}
        # Noted before the last event is sent: whoever has seen it may say what they think of it.
        status, code = 200, ""
        await call.over(status, code)
        yield _end(call)
    except ApiError as error:
        status, code = error.status, error.code
        yield {"error": error.message}
    finally:
        await call.over(status, code)


async def lines(call: Call) -> AsyncGenerator[bytes, None]:
    """The events as JSON lines for the browser."""
    async with aclosing(events(call)) as found:
        async for event in found:
            yield json.dumps(event, ensure_ascii=False).encode() + b"\n"


async def whole(call: Call) -> dict[str, Any]:
    """The last event with all of the text, for a browser without script."""
    text, last = "", {}
    async with aclosing(events(call)) as found:
        async for event in found:
            text, last = text + event.get("text", ""), event
    return last | {"text": text}


def _end(call: Call) -> dict[str, Any]:
    choice = call.reply.choices[0]
    release = call.served.release if call.served else None
    return {
        "done": True,
        "id": call.reply.id,
        "tokens": choice.tokens,
        "prompt_tokens": choice.prompt_tokens,
        "seconds": time.monotonic() - call.began,
        "finish_reason": choice.finish_reason or "stop",
        "version": release.number if release else 0,
    }
