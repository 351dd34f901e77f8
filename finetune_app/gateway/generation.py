"""Handles one request for text: asks the model, writes the response and logs the request."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, JsonResponse, StreamingHttpResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.candidates import inference
from finetune_app.candidates.inference import InferenceEvent
from finetune_app.core import connections
from finetune_app.core.engine_client import EngineUnavailable, RequestRejected
from finetune_app.core.engine_protocol import Sampling
from finetune_app.deployment.models import Deployment
from finetune_app.gateway import model_lookup
from finetune_app.gateway.errors import CLIENT_CLOSED_REQUEST, ApiError, internal_error
from finetune_app.gateway.json_body import JsonObject
from finetune_app.gateway.responses import ChatResponse
from finetune_app.gateway.schemas import TextRequest
from finetune_app.request_log import recording

log = logging.getLogger(__name__)
# Failures that are over soon, and a client that is gone: here the worker that runs a batch.
ASKED_AGAIN = (429, CLIENT_CLOSED_REQUEST, 503)


def engine_error(problem: EngineUnavailable) -> ApiError:
    """Maps an engine error to an API error: 400 when the request is at fault, 429 when the engine
    is busy, 503 when it is unavailable."""
    if isinstance(problem, RequestRejected):
        return ApiError(400, str(problem), param=problem.param)
    status = 429 if problem.retry_after else 503
    return ApiError(
        status,
        str(problem),
        code="engine_busy" if status == 429 else "engine_unavailable",
        retry_after=problem.retry_after or 10,
    )


@dataclass
class Generation:
    """One request and its response. `key` is None if a page asks.

    is_background: nobody waits for the response, so requests of people come first, and a failure
    that is over soon is not logged: the request is made again.
    """

    key: ApiKey | None
    request: TextRequest
    answer: ChatResponse
    model: model_lookup.ResolvedModel | None = None
    unavailable: model_lookup.DeploymentUnavailable | None = None  # then it has no model
    is_background: bool = False
    started_at: float = field(default_factory=time.monotonic)
    first_text_at: float | None = None
    is_logged: bool = False

    def with_model(self) -> "Generation":
        """Itself, once it knows its model. Asks the database, whose connection is then given back:
        the answer may take minutes. Raises ApiError, once that is logged."""
        assert self.key is not None, "a page names the deployment"
        try:
            self._resolve(self.key)
        except ApiError as error:
            self._log_now(error.status, error.code)
            raise
        except Exception:
            self._log_now(500, "server_error")
            raise
        finally:
            connections.give_back()
        return self

    def with_deployment(self, deployment: Deployment, conversation_id: str) -> "Generation":
        """The same for a page. Raises ApiError, once that is logged."""
        try:
            self.model = model_lookup.resolve_deployment(deployment, conversation_id)
        except model_lookup.DeploymentUnavailable as problem:
            self.unavailable = problem
            self._log_now(problem.status, problem.code)
            raise
        return self

    async def response(self) -> HttpResponseBase:
        """The HTTP response. Raises ApiError for errors before the first event."""
        first, events = await self._begin()
        if self.request.options.stream:
            response = StreamingHttpResponse(
                self._server_sent_events(first, events), content_type="text/event-stream"
            )
            response["Cache-Control"] = "no-store"
            response["X-Accel-Buffering"] = "no"  # otherwise nginx buffers the stream
            return response
        return JsonResponse(await self._complete(events))

    async def whole(self) -> JsonObject:
        """The response as one object. Raises ApiError."""
        _first, events = await self._begin()
        return await self._complete(events)

    async def prompt_tokens(self) -> int:
        """How many tokens the model would read. Nothing is answered or logged. Raises ApiError."""
        assert self.key is not None
        await sync_to_async(self._resolve)(self.key)
        assert self.model is not None
        if self.model.request.endpoint:
            raise ApiError(
                400,
                f"“{self.request.model}” answers elsewhere; only that place can count its tokens.",
                param="model",
            )
        try:
            return await inference.count_prompt_tokens(self._batch())
        except EngineUnavailable as problem:
            raise engine_error(problem) from problem

    async def _begin(
        self,
    ) -> tuple[InferenceEvent | None, AsyncGenerator[InferenceEvent, None]]:
        """The model's first event and the others. Raises ApiError, once it is logged."""
        events = self.events()
        try:
            # Wait for it: the status of a busy or broken model must not be 200. Citations, of
            # which the API writes nothing, come before the model is asked.
            first = await anext(events, None)
            while first is not None and "cited" in first:
                first = await anext(events, None)
            return first, events
        except ApiError as error:
            await self.log(error.status, error.code)
            raise
        except asyncio.CancelledError:
            await self.log(CLIENT_CLOSED_REQUEST, "gone")
            raise
        except Exception:
            await self.log(500, "server_error")
            raise

    def _resolve(self, key: ApiKey) -> None:
        """Raises ApiError."""
        conversation_id = self.request.options.conversation_id
        try:
            self.model = model_lookup.resolve(key, self.request.model, conversation_id)
        except model_lookup.DeploymentUnavailable as problem:
            self.unavailable = problem
            raise
        self.answer.require_storage(self.model.deployment)

    async def events(self) -> AsyncGenerator[InferenceEvent, None]:
        """The engine's events for all choices. Closing it cancels the answers.

        Raises ApiError for every failure.
        """
        try:
            async with aclosing(inference.stream_events(self._batch())) as events:
                async for event in events:
                    self._record(event)
                    yield event
        except EngineUnavailable as problem:
            error = engine_error(problem)
            error.param = self._param(error.param)
            raise error from problem

    async def log(self, status: int, code: str = "") -> None:
        """Log the request, with its result. Only the first call has an effect."""
        if self._is_to_log(status):
            await recording.arecord(**self._facts(status, code))

    def _log_now(self, status: int, code: str) -> None:
        """The same in a thread that may ask the database."""
        if self._is_to_log(status):
            recording.record(**self._facts(status, code))

    def _is_to_log(self, status: int) -> bool:
        """True once at most."""
        if self.is_logged or (self.is_background and status in ASKED_AGAIN):
            return False
        self.is_logged = True
        return True

    def _facts(self, status: int, code: str) -> dict[str, Any]:
        """What the log of requests is told."""
        usage, streamed = self.answer.usage, self.request.options.stream
        asked = self.model or self.unavailable
        to_store = self.answer.response_to_store() if status < 400 else None
        # Nobody saw the first word of an answer that was sent whole.
        first_text_at = self.first_text_at if streamed else None
        return {
            "key": self.key,
            "deployment": asked.deployment if asked else None,
            "release": asked.release if asked else None,
            "model": self.request.model,
            "status": status,
            "error": code,
            "streamed": streamed,
            "prompt_tokens": usage["prompt_tokens"],
            "tokens": usage["completion_tokens"],
            "first_seconds": first_text_at - self.started_at if first_text_at else None,
            "seconds": time.monotonic() - self.started_at,
            "reply_id": self.answer.id,
            "confidence": self._mean_logprob(),
            "is_background": self.is_background,
            "messages": self.request.messages if self._may_keep_text else (),
            "answer": self.answer.choices[0].text,
            "keeps_text": True if to_store else None,
            "to_store": to_store,
        }

    @property
    def _may_keep_text(self) -> bool:
        """A transcript has no tools, and without them it would be another example."""
        return self.answer.keeps_text and not self.request.prompts[0].has_calls

    def _batch(self) -> inference.RequestBatch:
        """One request to the candidate for each choice."""
        assert self.model is not None
        template = self.model.request
        if self.key is not None:
            template = replace(template, caller=f"key {self.key.pk}")
        self._require_support(template)
        requests: list[inference.CandidateRequest] = []
        for prompt in self.request.prompts:
            for n in range(self.request.options.n):
                sampling: Sampling = {
                    "max_new_tokens": self.request.default_new_tokens,
                    **template.sampling,
                    **self.request.sampling,
                    "seed": self.request.seed_of(n),
                    "require_effect": True,
                    "background": self.is_background,
                }
                requests.append(
                    replace(
                        template,
                        name=str(len(requests)),
                        messages=prompt.messages,
                        raw_prompt=prompt.raw_text,
                        tools=prompt.tools,
                        sampling=sampling,
                        # A page's limit is one for models here; others may have to think first.
                        remote_options=self.request.remote_options(n) if self.key else {},
                    )
                )
        query = self.request.prompts[0].question
        return inference.RequestBatch(self.model.goal_id, query, requests)

    def _require_support(self, template: inference.CandidateRequest) -> None:
        """Raises ApiError if this model cannot do what the request asks."""
        option = self.request.local_only_option
        if template.endpoint and option:
            raise ApiError(
                400,
                f"“{option}” is not supported for a model that answers elsewhere.",
                param=option,
            )
        prompt = template.prompt_template
        has_prompt = prompt.instructions or prompt.shots or prompt.grounded
        if self.request.is_raw and (has_prompt or template.retrieval or template.endpoint):
            raise ApiError(
                400,
                f"“{self.request.model}” answers with instructions, examples or documents of its "
                "own, so it can only be asked at /v1/chat/completions.",
                param="model",
            )

    def _record(self, event: InferenceEvent) -> None:
        """Add the event to the response. Raises ApiError if the answer failed."""
        if event.get("error") or event.get("trouble"):
            raise self._failure(event)
        choice = self.answer.choices[int(event["candidate"])]
        # So far: the client may be gone before the end. A platform may report none at the end.
        choice.tokens = event.get("tokens") or choice.tokens
        choice.prompt_tokens = event.get("prompt_tokens") or choice.prompt_tokens
        choice.thought += event.get("thought", "")
        if event.get("text"):
            self.first_text_at = self.first_text_at or time.monotonic()
            choice.text += event["text"]
        if event.get("logprobs") and choice.logprobs is not None:
            choice.logprobs += event["logprobs"]
        if event.get("done"):
            choice.finish_reason = "length" if event.get("finish_reason") == "length" else "stop"
            choice.thought_tokens = int(event.get("thought_tokens") or 0)
            choice.thought = choice.thought.strip()
            prompt = self.request.prompts[0]
            choice.find_calls(prompt.tools, is_single=prompt.is_single_call)

    def _failure(self, event: InferenceEvent) -> ApiError:
        """Clients ask again after a 503, and a batch waits: only where that may help."""
        problem = str(event.get("error") or event.get("trouble"))
        if event.get("param"):
            return ApiError(400, problem, param=self._param(event["param"]))
        if event.get("code") == "context_length_exceeded":
            param = self.request.prompt_field
            return ApiError(400, problem, code="context_length_exceeded", param=param)
        if event.get("refused"):
            return ApiError(400, problem, code="question_refused")
        if event.get("permanent"):
            return ApiError(502, problem, code="model_failed", should_retry=False)
        return ApiError(503, problem, code="model_failed")

    def _param(self, name: str | None) -> str | None:
        """The part of the request that is at fault: the schema of a call comes from its tools."""
        return "tools" if name == "response_format" and self.request.prompts[0].tools else name

    async def _complete(self, events: AsyncGenerator[InferenceEvent, None]) -> JsonObject:
        """The response as one object, once all events have arrived."""
        status, code = CLIENT_CLOSED_REQUEST, "gone"
        try:
            async with aclosing(events):
                async for _event in events:
                    pass
            status, code = 200, ""
        except ApiError as error:
            status, code = error.status, error.code
            raise
        except Exception:
            status, code = 500, "server_error"
            raise
        finally:
            await self.log(status, code)
        return self.answer.as_object()

    async def _server_sent_events(
        self, first: InferenceEvent | None, events: AsyncGenerator[InferenceEvent, None]
    ) -> AsyncGenerator[bytes, None]:
        """A failure after the first event is sent in the stream: the status was sent already."""
        status, code = CLIENT_CLOSED_REQUEST, "gone"
        try:
            # What comes together is sent in one piece.
            begun = [*self.answer.first_events(), *(self._encoded(first) if first else ())]
            if begun:
                yield b"".join(begun)
            async with aclosing(events):
                async for event in events:
                    if sent := b"".join(self._encoded(event)):
                        yield sent
            # Logged before the last event is sent: many clients disconnect as soon as they have
            # it, and may send feedback at once.
            status, code = 200, ""
            await self.log(status, code)
            usage = [self.answer.usage_event()] if self.request.options.include_usage else []
            yield b"".join([*usage, *self.answer.end_events()])
        except ApiError as error:
            status, code = error.status, error.code
            for sent in self.answer.error_events(error):
                yield sent
        except Exception:
            log.exception("an answer failed after it had begun")
            status, code = 500, "server_error"
            for sent in self.answer.error_events(internal_error()):
                yield sent
        finally:
            await self.log(status, code)

    def _encoded(self, event: InferenceEvent) -> list[bytes]:
        at, logprobs = int(event["candidate"]), event.get("logprobs")
        sent = []
        tools = self.request.prompts[0].tools  # a call is recognised only when it is complete
        if event.get("thought"):
            sent.append(self.answer.thought_event(at, event["thought"]))
        if (event.get("text") or logprobs) and not tools:
            sent.append(self.answer.text_event(at, event["text"], logprobs))
        if event.get("done"):
            sent += self.answer.whole_events(at) if tools else []
            sent.append(self.answer.finish_event(at))
        return sent

    def _mean_logprob(self) -> float | None:
        """Of the first answer's tokens, if the engine reported them."""
        logprobs = self.answer.choices[0].logprobs
        return sum(one["logprob"] for one in logprobs) / len(logprobs) if logprobs else None
