"""Writes a response: one JSON object, or OpenAI's sequence of events."""

import json
import time
from collections.abc import Sequence
from typing import Any

from finetune_app.core.engine_protocol import TokenLogprob
from finetune_app.deployment.models import Deployment
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject
from finetune_app.gateway.responses import ChatResponse
from finetune_app.gateway.responses_api.items import new_id
from finetune_app.gateway.responses_api.request import ResponseRequest, in_names_of_responses
from finetune_app.request_log import retention, stored_responses
from finetune_app.request_log.stored_responses import ResponseToStore


class ResponsesAnswer(ChatResponse):
    """The response to one request of the Responses API. It has one choice.

    In a stream an item is opened by its first piece, and closed by the next item or the end.
    """

    ID_PREFIX = "resp"

    def __init__(self, request: ResponseRequest) -> None:
        super().__init__(request.chat.model, 1, logprobs=request.chat.logprobs)
        self.id = new_id(self.ID_PREFIX)
        self.request = request
        self.error: ApiError | None = None
        self.is_over = False
        self.to_store: ResponseToStore | None = None
        self.keeps_text = True
        self._message_id, self._thought_id = new_id("msg"), new_id("rs")
        self._call_ids = [new_id("fc")]
        self._sequence = 0
        self._open = ""  # the item that is being written: "thought", "message" or none
        self._wrote_message = False

    # ---- Storage ----

    def require_storage(self, deployment: Deployment | None) -> None:
        """Decide whether it is stored. Raises ApiError if it is asked to be and cannot be."""
        store = self.request.store
        if store is False:
            return
        keeps = deployment is not None and retention.settings_of(deployment).on
        fits = stored_responses.fits(self.request.items, self.request.instructions)
        if store and not (keeps and fits):
            raise ApiError(
                400,
                "This cannot be stored: " + (TOO_LONG if keeps else NOT_KEPT),
                param="store",
                code="storage_not_available",
            )
        if keeps and fits and deployment is not None:
            self.keeps_text = retention.is_chosen(deployment.pk)
            if self.keeps_text:
                self.to_store = ResponseToStore(self.id, self.request.previous_response_id or "")

    def response_to_store(self) -> ResponseToStore | None:
        if self.to_store:
            self.to_store.input = self.request.items
            self.to_store.response = self.as_object()
        return self.to_store

    # ---- The response ----

    def as_object(self) -> JsonObject:
        self.is_over = True
        return self._object()

    def _object(self) -> JsonObject:
        request, sampling = self.request, self.request.chat.sampling
        status = self._status()
        error = {"code": self._error_code(), "message": self.error.message} if self.error else None
        is_short = status == "incomplete"
        found: JsonObject = {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": "max_output_tokens"} if is_short else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "model": self.model,
            "output": self._output() if self.is_over and not self.error else [],
            "parallel_tool_calls": request.parallel_tool_calls,
            "previous_response_id": request.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": bool(self.to_store and not self.to_store.has_failed),
            "temperature": sampling.get("temperature"),
            "text": {"format": request.text_format},
            "tool_choice": request.tool_choice,
            "tools": request.tools,
            "top_logprobs": sampling.get("top_logprobs") or 0,
            "top_p": sampling.get("top_p"),
            "truncation": "disabled",
            "metadata": request.metadata,
        }
        if self.is_over and not self.error:
            found["usage"] = self._usage()
        if request.user:
            found["user"] = request.user
        return found

    def _status(self) -> str:
        if self.error:
            return "failed"
        if not self.is_over:
            return "in_progress"
        return "incomplete" if self.choices[0].finish_reason == "length" else "completed"

    def _error_code(self) -> str:
        assert self.error is not None
        if self.error.status == 429:
            return "rate_limit_exceeded"
        return "invalid_prompt" if self.error.status < 500 else "server_error"

    def _usage(self) -> JsonObject:
        usage = self.usage
        return {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},  # not measured
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": dict(usage["completion_tokens_details"]),
            "total_tokens": usage["total_tokens"],
        }

    def _output(self) -> list[JsonObject]:
        choice = self.choices[0]
        items = [self._thought_item()] if choice.thought else []
        if choice.text or not choice.tool_calls:
            items.append(self._message_item())
        return items + [self._call_item(at) for at in range(len(choice.tool_calls))]

    def _thought_item(self, status: str = "completed") -> JsonObject:
        content = [{"type": "reasoning_text", "text": self.choices[0].thought}]
        return {
            "id": self._thought_id,
            "type": "reasoning",
            "summary": [],
            "content": content if status == "completed" else [],
            "status": status,
        }

    def _message_item(self, status: str = "") -> JsonObject:
        return {
            "id": self._message_id,
            "type": "message",
            "role": "assistant",
            "status": status or ("completed" if self._status() != "incomplete" else "incomplete"),
            "content": [] if status == "in_progress" else [self._text_part()],
        }

    def _text_part(self) -> JsonObject:
        choice = self.choices[0]
        return _text_part(choice.text, choice.logprobs or [])

    def _call_item(self, at: int, status: str = "completed") -> JsonObject:
        call = self.choices[0].tool_calls[at]
        while len(self._call_ids) <= at:
            self._call_ids.append(new_id("fc"))
        return {
            "id": self._call_ids[at],
            "type": "function_call",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"] if status == "completed" else "",
            "status": status,
        }

    # ---- The events ----

    def first_events(self) -> list[bytes]:
        return [
            self._event("response.created", response=self._object()),
            self._event("response.in_progress", response=self._object()),
        ]

    def thought_event(self, at: int, text: str) -> bytes:
        opened = b"" if self._open == "thought" else self._open_thought()
        return opened + self._piece("response.reasoning_text.delta", "thought", delta=text)

    def text_event(self, at: int, text: str, logprobs: list[TokenLogprob] | None = None) -> bytes:
        opened = b"" if self._open == "message" else self._close() + self._open_message()
        return opened + self._piece(
            "response.output_text.delta", "message", delta=text, logprobs=logprobs or []
        )

    def whole_events(self, at: int) -> list[bytes]:
        """The text and the calls of a finished answer, which may call tools."""
        choice = self.choices[0]
        events = []
        if choice.text:
            events.append(self.text_event(0, choice.text, choice.logprobs))
        if choice.tool_calls:
            events.append(self._close())
            events += [self._call_events(one) for one in range(len(choice.tool_calls))]
        return events

    def finish_event(self, at: int) -> bytes:
        """Closes the last item. An answer without a word is an empty message."""
        choice = self.choices[0]
        opened = b""
        if self._open != "message" and not self._wrote_message and not choice.tool_calls:
            opened = self._close() + self._open_message()
        return opened + self._close()

    def end_events(self) -> list[bytes]:
        self.is_over = True
        return [self._event(f"response.{self._status()}", response=self._object())]

    def error_events(self, error: ApiError) -> list[bytes]:
        self.error = in_names_of_responses(error)
        self.is_over = True
        return [self._event("response.failed", response=self._object())]

    def _open_thought(self) -> bytes:
        self._open = "thought"
        part = {"type": "reasoning_text", "text": ""}
        return self._event(
            "response.output_item.added", output_index=0, item=self._thought_item("in_progress")
        ) + self._piece("response.content_part.added", "thought", part=part)

    def _open_message(self) -> bytes:
        self._open, self._wrote_message = "message", True
        return self._event(
            "response.output_item.added",
            output_index=self._index("message"),
            item=self._message_item("in_progress"),
        ) + self._piece("response.content_part.added", "message", part=_text_part("", []))

    def _close(self) -> bytes:
        """Events at the end of the open item."""
        choice, item, self._open = self.choices[0], self._open, ""
        if item == "thought":
            text = choice.thought
            part: JsonObject = {"type": "reasoning_text", "text": text}
            done = self._piece("response.reasoning_text.done", item, text=text)
            whole = self._thought_item()
        elif item == "message":
            part = self._text_part()
            logprobs = choice.logprobs or []
            done = self._piece(
                "response.output_text.done", item, text=choice.text, logprobs=logprobs
            )
            whole = self._message_item(
                "incomplete" if choice.finish_reason == "length" else "completed"
            )
        else:
            return b""
        return (
            done
            + self._piece("response.content_part.done", item, part=part)
            + self._event("response.output_item.done", output_index=self._index(item), item=whole)
        )

    def _call_events(self, at: int) -> bytes:
        index = self._index("message") + self._wrote_message + at
        item = self._call_item(at)
        where = {"item_id": item["id"], "output_index": index}
        arguments = item["arguments"]
        return b"".join(
            [
                self._event(
                    "response.output_item.added",
                    output_index=index,
                    item=self._call_item(at, "in_progress"),
                ),
                self._event("response.function_call_arguments.delta", delta=arguments, **where),
                self._event(
                    "response.function_call_arguments.done",
                    name=item["name"],
                    arguments=arguments,
                    **where,
                ),
                self._event("response.output_item.done", output_index=index, item=item),
            ]
        )

    def _index(self, item: str) -> int:
        """Place of the item in the output: the thought is first."""
        return int(item != "thought" and bool(self.choices[0].thought))

    def _piece(self, name: str, item: str, **fields: Any) -> bytes:
        item_id = self._thought_id if item == "thought" else self._message_id
        return self._event(
            name, item_id=item_id, output_index=self._index(item), content_index=0, **fields
        )

    def _event(self, kind: str, **fields: Any) -> bytes:
        content = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        data = json.dumps(content, ensure_ascii=False)
        return f"event: {kind}\ndata: {data}\n\n".encode()


NOT_KEPT = (
    "texts are stored for deployments whose texts are kept, which an owner of the team switches on "
    "(Deployment, Requests). Leave “store” out and send the whole conversation as “input”."
)
TOO_LONG = "a text of it is too long to be redacted whole. Leave “store” out."


def _text_part(text: str, logprobs: Sequence[TokenLogprob]) -> JsonObject:
    return {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": list(logprobs),
    }
