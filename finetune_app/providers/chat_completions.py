"""A request in OpenAI's own format for chat, as most platforms and model servers take it.

Uses no settings and no database, since the workers' child processes use it too.
"""

from collections.abc import Sequence
from typing import Any

from finetune_app.core.chat_messages import Message
from finetune_app.providers.target import Options


def body(model: str, messages: Sequence[Message], options: Options) -> dict[str, Any]:
    return {
        "model": model,
        "messages": messages,
        **options,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def adapted(body: dict[str, Any], message: str) -> dict[str, Any] | None:
    """The body without the parameter that the error message names; None if it names none that can
    be spared."""
    adapted = dict(body)
    if "max_completion_tokens" in message and "max_tokens" in adapted:
        return adapted | {"max_completion_tokens": adapted.pop("max_tokens")}
    for name in ("stream_options", "temperature"):
        if name in message and name in adapted:
            del adapted[name]
            return adapted
    return None
