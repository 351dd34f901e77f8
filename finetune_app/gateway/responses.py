"""Writes chat completions in OpenAI's format: one JSON object, or server-sent events."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from finetune_app.core.chat_messages import Tool, ToolCall
from finetune_app.core.engine_protocol import TokenLogprob
from finetune_app.core.tool_calls import calls_in
from finetune_app.deployment.models import Deployment
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject
from finetune_app.request_log.stored_responses import ResponseToStore

STREAM_END = b"data: [DONE]\n\n"


class TokenDetails(TypedDict):
    reasoning_tokens: int


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    completion_tokens_details: TokenDetails


def server_sent_event(content: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"


@dataclass
class Choice:
    """One answer while it is being generated."""

    text: str = ""
    thought: str = ""
    finish_reason: str | None = None
    tokens: int = 0
    thought_tokens: int = 0  # of `tokens`
    prompt_tokens: int = 0
    logprobs: list[TokenLogprob] | None = None  # None: not requested
    tool_calls: list[ToolCall] = field(default_factory=list)

    def find_calls(self, tools: Sequence[Tool], *, is_single: bool = False) -> None:
        """Move the calls from the text of a finished answer to `tool_calls`; is_single: the first
        alone."""
        self.text, calls = calls_in(self.text, tools) if tools else (self.text, [])
        calls = calls[:1] if is_single else calls
        self.tool_calls = [
            {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": call}
            for call in calls
        ]
        if calls:
            self.finish_reason = "tool_calls"

    @property
    def message(self) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": self.text, "refusal": None}
        if self.thought:
            message["reasoning_content"] = self.thought
        if self.tool_calls:
            message |= {"content": self.text or None, "tool_calls": self.tool_calls}
        return message


class ChatResponse:
    """The response to one request, under one id. `n` choices for each of `prompts`."""

    OBJECT, CHUNK_OBJECT, ID_PREFIX = "chat.completion", "chat.completion.chunk", "chatcmpl"
    keeps_text = True  # False: this request is not among those whose text is kept

    def __init__(self, model: str, n: int, *, prompts: int = 1, logprobs: bool = False) -> None:
        self.id = f"{self.ID_PREFIX}-{uuid.uuid4().hex}"
        self.created, self.model, self.n = int(time.time()), model, n
        self.choices = [Choice(logprobs=[] if logprobs else None) for _ in range(n * prompts)]

    @property
    def usage(self) -> Usage:
        """Token counts. A prompt counts once, however many answers it has."""
        groups = [self.choices[at : at + self.n] for at in range(0, len(self.choices), self.n)]
        read = sum(max(choice.prompt_tokens for choice in group) for group in groups)
        written = sum(choice.tokens for choice in self.choices)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "completion_tokens_details": {
                "reasoning_tokens": sum(choice.thought_tokens for choice in self.choices)
            },
        }

    def as_object(self) -> JsonObject:
        choices = [
            {
                "index": at,
                "finish_reason": choice.finish_reason or "stop",
                "logprobs": _logprobs(choice.logprobs),
                "message": choice.message,
            }
            for at, choice in enumerate(self.choices)
        ]
        return self._head(self.OBJECT) | {"choices": choices, "usage": self.usage}

    def first_events(self) -> list[bytes]:
        """Sent before any text: the role, once for each choice."""
        delta = {"role": "assistant", "content": ""}
        return [self._chunk(at, delta) for at in range(len(self.choices))]

    def text_event(self, at: int, text: str, logprobs: list[TokenLogprob] | None = None) -> bytes:
        """The next piece of the choice at index `at`."""
        return self._chunk(at, {"content": text}, logprobs=logprobs)

    def thought_event(self, at: int, text: str) -> bytes:
        """The next piece of the thought before the choice at index `at`."""
        return self._chunk(at, {"reasoning_content": text})

    def whole_events(self, at: int) -> list[bytes]:
        """The text and the calls of a finished choice, which may call tools."""
        choice = self.choices[at]
        events = []
        if choice.text or choice.logprobs:
            events.append(self.text_event(at, choice.text, choice.logprobs))
        if choice.tool_calls:
            calls = [{"index": n, **call} for n, call in enumerate(choice.tool_calls)]
            events.append(self._chunk(at, {"tool_calls": calls}))
        return events

    def finish_event(self, at: int) -> bytes:
        return self._chunk(at, {}, self.choices[at].finish_reason or "stop")

    def usage_event(self) -> bytes:
        """The last event before the end of the stream; it has no choices."""
        return server_sent_event(
            self._head(self.CHUNK_OBJECT) | {"choices": [], "usage": self.usage}
        )

    def end_events(self) -> list[bytes]:
        """The last of a stream, once the request is logged."""
        return [STREAM_END]

    def error_events(self, error: ApiError) -> list[bytes]:
        """The last of a stream in which the answer failed."""
        return [server_sent_event(error.body())]

    def require_storage(self, deployment: Deployment | None) -> None:
        """Called before the answer begins. Raises ApiError if the request wants the response to be
        stored, and that is not possible."""

    def response_to_store(self) -> ResponseToStore | None:
        """The finished response, if it is to be stored beside the text of the request."""
        return None

    def _chunk(
        self,
        at: int,
        delta: Mapping[str, object],
        finish_reason: str | None = None,
        logprobs: list[TokenLogprob] | None = None,
    ) -> bytes:
        choice = {
            "index": at,
            "delta": delta,
            "logprobs": _logprobs(logprobs),
            "finish_reason": finish_reason,
        }
        return server_sent_event(self._head(self.CHUNK_OBJECT) | {"choices": [choice]})

    def _head(self, kind: str) -> JsonObject:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _logprobs(logprobs: list[TokenLogprob] | None) -> JsonObject | None:
    return None if logprobs is None else {"content": logprobs, "refusal": None}
