"""Streams answers of candidates: local ones from the engine, remote ones from their endpoint."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import groupby
from typing import cast

from asgiref.sync import sync_to_async
from django.urls import NoReverseMatch, reverse

from finetune_app.candidates import services
from finetune_app.candidates.answer_length import MAX_NEW_TOKENS, REMOTE_CHAT_TOKENS
from finetune_app.candidates.models import Candidate
from finetune_app.candidates.prompt_builder import Passage, PromptTemplate, build_prompt
from finetune_app.candidates.specs import Citation, Retrieval
from finetune_app.core import connections, engine_client
from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.engine_protocol import INT8, ROUNDED, ChatEvent, ChatRequest, Sampling
from finetune_app.providers import client as remote

MAX_CITED_CHARS = 400


class InferenceEvent(ChatEvent, total=False):
    """An event of the engine or of a remote endpoint, and those that inference adds."""

    cited: list[Citation]
    """The passages in the prompt."""
    trouble: str
    """Why the model cannot be reached, at the end of an answer."""
    permanent: bool
    """Beside trouble: asking again would not help."""
    refused: bool
    """Beside trouble: what was asked is at fault."""


@dataclass(frozen=True)
class CandidateRequest:
    """One request to one candidate. Holds all settings, so that async code needs no database.

    name: identifies the answer in the stream of events.
    tools: functions that the answer may call; local models only.
    raw_prompt: text to continue as it is, instead of `messages`; local models only.
    base_model, adapter: absolute folders; both empty when `endpoint` is set.
    number_format: the format that the candidate was evaluated in; "" for any.
    retrieval: the index to search before the prompt is built; None without documents.
    remote_options: what this request itself asks of a remote model, which is passed on or refused;
        `sampling` is for local models, but for its temperature and top p.
    caller: whose request it is, for the engine's turns.
    """

    name: str
    prompt_template: PromptTemplate
    messages: list[Message] = field(default_factory=list)
    raw_prompt: str | None = None
    tools: list[Tool] = field(default_factory=list)
    sampling: Sampling = field(default_factory=Sampling)
    base_model: str = ""
    adapter: str | None = None
    number_format: str = ""
    retrieval: Retrieval | None = None
    endpoint: remote.Target | None = None
    remote_options: remote.Options = field(default_factory=remote.Options)
    caller: str = ""


@dataclass(frozen=True)
class RequestBatch:
    """Requests that are answered at the same time. `query` is searched for in the documents."""

    goal_id: int
    query: str
    requests: list[CandidateRequest]


def request_for(
    candidate: Candidate, *, name: str = "0", messages: Sequence[Message] = ()
) -> CandidateRequest:
    """A request to this candidate.

    Raises PlainError when its documents have changed or the key of its endpoint is lost.
    """
    spec = services.candidate_spec(candidate, for_engine=True)
    endpoint = spec["endpoint"]
    return CandidateRequest(
        name=name,
        prompt_template=services.prompt_template(candidate),
        messages=list(messages),
        sampling=services.sampling_of(candidate),
        base_model=spec["base_model"] or "",
        adapter=spec["adapter"],
        number_format=tested_number_format(candidate),
        retrieval=spec["knowledge"],
        endpoint=remote.Target.from_json(endpoint) if endpoint else None,
        caller=f"goal {candidate.goal_id}",
    )


def request_for_base_model(folder: str) -> CandidateRequest:
    """A request to a base model (an absolute folder) without instructions; needs no goal."""
    return CandidateRequest("0", PromptTemplate(), base_model=folder)


def tested_number_format(candidate: Candidate) -> str:
    """The number format of its last evaluation, so that it answers as evaluated; or "". One in 8
    bits has that from the start, so what other candidates were tested in 8 bits says nothing."""
    if candidate.number_format or not candidate.training:
        return candidate.number_format
    tested = candidate.training.candidates.exclude(number_format__in=("", INT8)).order_by("-pk")
    return tested.values_list("number_format", flat=True).first() or ""


async def stream_events(batch: RequestBatch) -> AsyncGenerator[InferenceEvent, None]:
    """Events of all requests as they arrive; "candidate" is the name of the request. They may take
    minutes: give the connection to the database back before (core/connections.py).

    Yields {"text"}, {"cited"} (the passages in the prompt) and at the end of each answer {"done"},
    with "error" when the request failed or "trouble" when its model cannot be reached. Closing the
    generator cancels all requests. Raises EngineUnavailable when none can be answered.
    """
    queue: asyncio.Queue[InferenceEvent | Exception | None] = asyncio.Queue()
    sources = [_stream_remote(one, batch) for one in batch.requests if one.endpoint]
    local = sorted((one for one in batch.requests if not one.endpoint), key=_engine_key)
    for _key, requests in groupby(local, key=_engine_key):
        sources.append(_stream_local(list(requests), batch))
    tasks = [asyncio.create_task(_forward(source, queue)) for source in sources]
    try:
        running = len(tasks)
        while running:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def count_prompt_tokens(batch: RequestBatch) -> int:
    """How many tokens the model reads of the batch's only request, instructions, examples and
    passages included. For models of this installation. Raises EngineUnavailable."""
    [request] = batch.requests
    messages, _cited = await _prompt_of(request, batch)
    thinks = request.sampling.get("thought_tokens", 0) > 0
    return await engine_client.count_prompt_tokens(
        request.base_model, messages, tools=request.tools, thinking=thinks
    )


async def stream_ndjson(batch: RequestBatch) -> AsyncIterator[bytes]:
    """The events as JSON lines for the browser; a failure of all is a last line with "error"."""
    await sync_to_async(connections.give_back)()
    try:
        async with aclosing(stream_events(batch)) as events:
            async for event in events:
                yield json.dumps(event, ensure_ascii=False).encode() + b"\n"
    except engine_client.EngineUnavailable as error:
        yield json.dumps({"error": str(error)}, ensure_ascii=False).encode() + b"\n"


def _engine_key(request: CandidateRequest) -> tuple[str, str]:
    """Requests with the same key share an engine: of a base model as it is, or of its weights
    rounded to one of the formats."""
    rounded = request.number_format in ROUNDED
    return request.base_model, request.number_format if rounded else ""


async def _forward(
    source: AsyncGenerator[InferenceEvent, None],
    queue: "asyncio.Queue[InferenceEvent | Exception | None]",
) -> None:
    try:
        async with aclosing(source) as events:  # cancelling this task cancels the source
            async for event in events:
                await queue.put(event)
    except Exception as problem:
        await queue.put(problem)
    else:
        await queue.put(None)


async def _stream_local(
    requests: list[CandidateRequest], batch: RequestBatch
) -> AsyncGenerator[InferenceEvent, None]:
    """Requests that share an engine, as one batch."""
    chat_requests: list[ChatRequest] = []
    try:
        for request in requests:
            messages, cited = await _prompt_of(request, batch)
            if cited is not None:
                yield {"candidate": request.name, "cited": cited}
            chat_requests.append(
                {
                    "candidate": request.name,
                    "adapter": request.adapter,
                    "messages": messages,
                    "prompt": request.raw_prompt,
                    "tools": request.tools,
                    "caller": request.caller,
                    **request.sampling,
                }
            )
        number_format = next((one.number_format for one in requests if one.number_format), "auto")
        async with aclosing(
            engine_client.stream_chat(
                requests[0].base_model,
                chat_requests,
                number_format=number_format,
                max_new_tokens=MAX_NEW_TOKENS,
            )
        ) as events:
            async for event in events:
                yield cast(InferenceEvent, event)
    except engine_client.EngineUnavailable as problem:
        if len(requests) == len(batch.requests):
            raise
        for request in requests:  # other requests of the batch can still be answered
            yield _trouble(request, problem)


async def _stream_remote(
    request: CandidateRequest, batch: RequestBatch
) -> AsyncGenerator[InferenceEvent, None]:
    assert request.endpoint is not None
    try:
        messages, cited = await _prompt_of(request, batch)
        if cited is not None:
            yield {"candidate": request.name, "cited": cited}
        async with aclosing(
            remote.stream(
                request.endpoint,
                messages,
                max_tokens=REMOTE_CHAT_TOKENS,
                options={**remote.sampling_options(request.sampling), **request.remote_options},
            )
        ) as events:
            async for event in events:
                yield {"candidate": request.name, **event}  # type: ignore[typeddict-item]
    except remote.RemoteError as problem:
        yield _trouble(request, problem) | {
            "param": problem.param,
            "permanent": problem.retry_after is None,
            "refused": bool(problem.about_question),
        }
    except engine_client.EngineUnavailable as problem:
        yield _trouble(request, problem)


def _trouble(request: CandidateRequest, problem: Exception) -> InferenceEvent:
    return {"candidate": request.name, "done": True, "trouble": str(problem)}


async def _prompt_of(
    request: CandidateRequest, batch: RequestBatch
) -> tuple[list[Message], list[Citation] | None]:
    """The messages for its model, and the citations for the page; None without documents."""
    if request.retrieval is None:
        return build_prompt(request.prompt_template, request.messages).messages, None
    template, messages, whole = (
        request.prompt_template,
        request.messages,
        request.retrieval["whole"],
    )
    passages = await _search(request, request.retrieval, batch.query, whole=whole)
    prompt = build_prompt(template, messages, passages)
    if whole and len(prompt.passages) < len(passages):  # beside this conversation not all fit
        passages = await _search(request, request.retrieval, batch.query, whole=False)
        prompt = build_prompt(template, messages, passages)
    return prompt.messages, [_citation(batch.goal_id, one) for one in prompt.passages]


async def _search(
    request: CandidateRequest, retrieval: Retrieval, query: str, *, whole: bool
) -> list[Passage]:
    found = await engine_client.search(
        retrieval["index"], query, count=retrieval["count"], whole=whole, caller=request.caller
    )
    return [Passage(**one) for one in found]


def _citation(goal_id: int, passage: Passage) -> Citation:
    return {
        "name": passage.name,
        "title": passage.title,
        "page": passage.page,
        "text": passage.text[:MAX_CITED_CHARS],
        "url": _document_url(goal_id, passage),
    }


def _document_url(goal_id: int, passage: Passage) -> str:
    try:
        return f"{reverse('knowledge:document', args=[goal_id, passage.document])}?at={passage.at}"
    except NoReverseMatch:  # an old index can still name a deleted document
        return ""
