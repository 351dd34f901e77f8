"""Gemini's own format for chat, which a tuned Gemini on Vertex AI speaks, as OpenAI's.

Uses no settings and no database, since the workers' child processes use it too.
"""

from collections.abc import Sequence
from typing import Any

from finetune_app.core.chat_messages import Message
from finetune_app.core.tool_calls import message_text
from finetune_app.providers.target import Options

ROLES = {"user": "user", "assistant": "model", "tool": "user"}
OPTION_NAMES = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop": "stopSequences",
    "seed": "seed",
}
FINISHED = {"STOP": "stop", "MAX_TOKENS": "length"}


def address(url: str, model: str) -> str:
    """model: the whole name of an endpoint or of a publisher's model."""
    return f"{url.rstrip('/')}/{model}:streamGenerateContent?alt=sse"


def body(messages: Sequence[Message], options: Options) -> dict[str, Any]:
    system = [{"text": one["content"]} for one in messages if one["role"] == "system"]
    asked = {
        "contents": [
            {"role": ROLES[one["role"]], "parts": [{"text": message_text(one)}]}
            for one in messages
            if one["role"] != "system"
        ],
        "generationConfig": {OPTION_NAMES[name]: value for name, value in options.items()},
    }
    return asked | ({"systemInstruction": {"parts": system}} if system else {})


def as_openai_chunk(chunk: Any) -> Any:
    """A chunk of an answer in OpenAI's format; what is none comes back as it is."""
    if not isinstance(chunk, dict) or "error" in chunk:
        return chunk
    used = chunk.get("usageMetadata")
    counts = (
        {"prompt": used.get("promptTokenCount"), "done": _tokens_out(used)}
        if isinstance(used, dict)
        else {}
    )
    made: dict[str, Any] = {
        "usage": {"prompt_tokens": counts.get("prompt"), "completion_tokens": counts.get("done")}
    }
    candidates = chunk.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    if not isinstance(first, dict):
        return made | _blocked(chunk)
    content = first.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    texts = [
        part["text"]
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(part, dict) and isinstance(part.get("text"), str) and not part.get("thought")
    ]
    reason = first.get("finishReason")
    finish = FINISHED.get(reason, reason.lower()) if isinstance(reason, str) else None
    choice = {"delta": {"content": "".join(texts)}, "finish_reason": finish}
    return made | {"choices": [choice]}


def _tokens_out(used: dict[str, Any]) -> int | None:
    """With the thoughts, which are billed like the answer."""
    counts = (used.get("candidatesTokenCount"), used.get("thoughtsTokenCount"))
    told = [count for count in counts if isinstance(count, int)]
    return sum(told) if told else None


def _blocked(chunk: dict[str, Any]) -> dict[str, Any]:
    """Nothing is answered to a prompt that a filter stopped."""
    feedback = chunk.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return {"choices": [{"delta": {}, "finish_reason": "content_filter"}]}
    return {}
