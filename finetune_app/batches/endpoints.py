"""The addresses that a batch may ask, and what answers them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from asgiref.sync import sync_to_async

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway import model_lookup
from finetune_app.gateway.embedding_requests import embed, require_embedder
from finetune_app.gateway.errors import ApiError, invalid_request
from finetune_app.gateway.generation import Generation
from finetune_app.gateway.json_body import JsonObject
from finetune_app.gateway.responses import ChatResponse
from finetune_app.gateway.responses_api.generation import response_generation
from finetune_app.gateway.responses_api.request import in_names_of_responses
from finetune_app.gateway.schemas import TextRequest, parse_chat_request
from finetune_app.gateway.text_completions import CompletionResponse, parse_completion_request


@dataclass(frozen=True)
class Endpoint:
    """`action`: what a key must be allowed to do. `answer` raises ApiError; `require_model` too, if
    the key has no such model."""

    action: str
    answer: Callable[[ApiKey, bytes], Awaitable[JsonObject]]
    require_model: Callable[[ApiKey, str], object]


async def _chat(key: ApiKey, body: bytes) -> JsonObject:
    asked = _whole(parse_chat_request(body))
    response = ChatResponse(asked.model, asked.options.n, logprobs=asked.logprobs)
    return await _answer(Generation(key, asked, response, is_background=True))


async def _completion(key: ApiKey, body: bytes) -> JsonObject:
    asked = _whole(parse_completion_request(body))
    response = CompletionResponse(
        asked.model, asked.options.n, prompts=len(asked.prompts), logprobs=asked.logprobs
    )
    return await _answer(Generation(key, asked, response, is_background=True))


async def _response(key: ApiKey, body: bytes) -> JsonObject:
    generation = await sync_to_async(response_generation)(key, body, is_background=True)
    _whole(generation.request)
    try:
        return await _answer(generation)
    except ApiError as error:
        raise in_names_of_responses(error) from error


async def _embeddings(key: ApiKey, body: bytes) -> JsonObject:
    return await embed(key, body, is_background=True)


async def _answer(generation: Generation) -> JsonObject:
    return await (await sync_to_async(generation.with_model)()).whole()


def _whole(asked: TextRequest) -> TextRequest:
    if asked.options.stream:
        raise invalid_request("A batch cannot stream. Leave “stream” out.", "stream")
    return asked


ENDPOINTS = {
    "/v1/chat/completions": Endpoint("chat", _chat, model_lookup.resolve),
    "/v1/responses": Endpoint("chat", _response, model_lookup.resolve),
    "/v1/completions": Endpoint("chat", _completion, model_lookup.resolve),
    "/v1/embeddings": Endpoint("embeddings", _embeddings, require_embedder),
}
