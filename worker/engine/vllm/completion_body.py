"""The body of a request to vLLM's completions. See `client.CompletionBody`."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from worker.engine.requests import GenerationRequest
from worker.engine.vllm.client import CompletionBody


def answer_body(
    request: GenerationRequest, model: str, token_ids: list[int], room: int, stops: Set[int]
) -> CompletionBody:
    """token_ids: the prompt, with the thought where there is one. room: most tokens to write.
    stops: ids of tokens that end the text."""
    body: CompletionBody = {
        "model": model,
        "prompt": token_ids,
        "max_tokens": room,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "stop_token_ids": sorted(stops),
    }
    if request.top_logprobs is not None:
        body["logprobs"] = request.top_logprobs
    return body


def thought_body(
    request: GenerationRequest, model: str, token_ids: list[int], room: int, stops: Set[int]
) -> CompletionBody:
    """Of the thought alone: log-probabilities are for the answer."""
    thought = replace(request, top_logprobs=None)
    return answer_body(thought, model, token_ids, min(room, request.thought_tokens), stops)
