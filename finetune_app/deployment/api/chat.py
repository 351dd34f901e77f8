"""POST /v1/chat/completions: one conversation, one or several answers, whole or as they come."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse

from finetune_app.candidates import inference
from finetune_app.core.engine_client import EngineUnavailable, Event
from finetune_app.deployment import journal
from finetune_app.deployment.api import models
from finetune_app.deployment.api.access import api
from finetune_app.deployment.api.errors import GONE, ApiError
from finetune_app.deployment.api.schemas import (
    DONE,
    Reply,
    TextAsked,
    event,
    read_chat,
    unavailable,
)
from finetune_app.deployment.models import ApiKey


@api("POST", action="chat")
async def completions(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    asked = read_chat(request.body)
    reply = Reply(asked.model, asked.n, logprobs=asked.logprobs)
    return await Call(key, asked, reply).response()


@dataclass
class Call:
    """One request for text on its way, and what will be told of it."""

    key: ApiKey | None  # None: a person asks on a page
    asked: TextAsked
    reply: Reply
    served: models.Served | None = None
    began: float = field(default_factory=time.monotonic)
    first_at: float | None = None
    told: bool = False

    async def response(self) -> HttpResponseBase:
        """Raises ApiError for what goes wrong before the first event."""
        assert self.key is not None, "without a key it is told what serves it"
        try:
            self.served = await sync_to_async(models.find)(
                self.key, self.asked.model, self.asked.asker
            )
            answers = self.answers()
            # The first event decides the status: a busy or broken model must not begin with a 200.
            first = await anext(answers, None)
        except ApiError as error:
            await self.over(error.status, error.code)
            raise
        except Exception:
            await self.over(500, "server_error")
            raise
        if self.asked.stream:
            response = StreamingHttpResponse(
                self.chunks(first, answers), content_type="text/event-stream"
            )
            response["Cache-Control"] = "no-store"
            response["X-Accel-Buffering"] = "no"  # a proxy must not gather what should stream
            return response
        return JsonResponse(await self.whole(answers))

    async def answers(self) -> AsyncGenerator[Event, None]:
        """The events of all requests. Raises ApiError for any failure."""
        try:
            async with aclosing(inference.stream_events(self._batch())) as events:
                async for item in events:
                    self._note(item)
                    yield item
        except EngineUnavailable as problem:
            raise unavailable(problem) from problem

    def _batch(self) -> inference.RequestBatch:
        assert self.served is not None
        template, asked = self.served.request, self.asked
        if template.endpoint and asked.only_here:
            raise ApiError(
                400,
                f"“{asked.only_here}” is not supported for a model that answers elsewhere.",
                param=asked.only_here,
            )
        prompt = template.prompt_template
        has_prompt = prompt.instructions or prompt.shots or prompt.grounded
        if asked.as_it_stands and (has_prompt or template.retrieval or template.endpoint):
            raise ApiError(
                400,
                f"“{asked.model}” answers with instructions, examples or documents of its "
                "own, so it can only be asked at /v1/chat/completions.",
                param="model",
            )
        turns = [(messages, more, n) for messages, more in asked.turns for n in range(asked.n)]
        requests = [
            replace(
                template,
                name=str(at),
                messages=messages,
                sampling=template.sampling
                | asked.sampling
                | more
                | {"seed": asked.seed + n, "require_effect": True},
            )
            for at, (messages, more, n) in enumerate(turns)
        ]
        return inference.RequestBatch(self.served.goal_id, asked.messages[-1]["content"], requests)

    def _note(self, item: Event) -> None:
        """What the event adds to the reply. Raises ApiError where the answer failed."""
        problem = item.get("error") or item.get("trouble")
        if problem:
            if item.get("param"):
                raise ApiError(400, str(problem), param=item["param"])
            long = item.get("code") == "context_length_exceeded"
            raise ApiError(
                400 if long else 503,
                str(problem),
                code="context_length_exceeded" if long else "model_failed",
                param=self.asked.said_in if long else None,
            )
        choice = self.reply.choices[int(item["lane"])]
        if item.get("text"):
            self.first_at = self.first_at or time.monotonic()
            choice.text += item["text"]
        if item.get("logprobs") and choice.logprobs is not None:
            choice.logprobs += item["logprobs"]
        if item.get("done"):
            choice.finish_reason = "length" if item.get("finish_reason") == "length" else "stop"
            choice.tokens = int(item.get("tokens") or 0)
            choice.prompt_tokens = int(item.get("prompt_tokens") or 0)

    async def whole(self, answers: AsyncGenerator[Event, None]) -> dict[str, Any]:
        status, code = GONE, "gone"
        try:
            async with aclosing(answers):
                async for _item in answers:
                    pass
            status, code = 200, ""
        except ApiError as error:
            status, code = error.status, error.code
            raise
        finally:
            await self.over(status, code)
        return self.reply.whole()

    async def chunks(
        self, first: Event | None, answers: AsyncGenerator[Event, None]
    ) -> AsyncGenerator[bytes, None]:
        """Server-sent events. A failure after the first of them is told in the stream."""
        status, code = GONE, "gone"
        try:
            for chunk in self.reply.beginning():
                yield chunk
            if first:
                for chunk in self._written(first):
                    yield chunk
            async with aclosing(answers):
                async for item in answers:
                    for chunk in self._written(item):
                        yield chunk
            if self.asked.include_usage:
                yield self.reply.counted()
            # Noted before the last piece is sent: many a client hangs up as soon as it has it, and
            # whoever has seen the end may speak of the answer (feedback.py).
            status, code = 200, ""
            await self.over(status, code)
            yield DONE
        except ApiError as error:
            status, code = error.status, error.code
            yield event(error.body())
        finally:
            await self.over(status, code)

    def _written(self, item: Event) -> list[bytes]:
        at = int(item["lane"])
        said = item.get("text") or item.get("logprobs")
        piece = [self.reply.piece(at, item["text"], item.get("logprobs"))] if said else []
        return [*piece, self.reply.last(at)] if item.get("done") else piece

    async def over(self, status: int, code: str = "") -> None:
        """Told once, whatever ended it."""
        if self.told:
            return
        self.told = True
        usage = self.reply.usage
        first = self.first_at - self.began if self.first_at else None
        await journal.keep(
            key=self.key,
            served=self.served,
            model=self.asked.model,
            status=status,
            error=code,
            streamed=self.asked.stream,
            prompt_tokens=usage["prompt_tokens"],
            tokens=usage["completion_tokens"],
            first_seconds=first,
            seconds=time.monotonic() - self.began,
            reply_id=self.reply.id,
            confidence=self._confidence(),
            messages=self.asked.messages,
            answer=self.reply.choices[0].text,
        )

    def _confidence(self) -> float | None:
        """The mean log-probability of the first answer's tokens, where the engine told it."""
        told = getattr(self.reply.choices[0], "logprobs", None)
        return sum(one["logprob"] for one in told) / len(told) if told else None
