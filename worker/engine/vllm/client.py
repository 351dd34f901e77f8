"""HTTP client of `vllm serve`, over its Unix socket. Formats of vLLM 0.32: entrypoints/openai
(completions, with token ids and log-probabilities) and entrypoints/serve/lora."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import httpx

BASE_MODEL = "base"  # name of the base model in requests
TIMEOUT = httpx.Timeout(300.0, connect=2.0)  # a longer silence is a fault
HEALTH_TIMEOUT_SECONDS = 5.0
TOKEN_ID = "token_id:"  # prefix of a token that is given by its id


class VllmConnectionError(RuntimeError):
    """vLLM did not answer, or the connection broke."""


class VllmRejected(RuntimeError):
    """vLLM answered with an error; the message is its own."""


class CompletionBody(TypedDict, total=False):
    """Fields of POST /v1/completions that we send."""

    model: str
    prompt: list[int]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    presence_penalty: float
    frequency_penalty: float
    stop_token_ids: list[int]
    logprobs: int
    structured_outputs: dict[str, str]  # {"grammar": in Lark}


class CompletionLogprobs(TypedDict):
    token_logprobs: list[float | None] | None
    top_logprobs: list[dict[str, float] | None] | None


class CompletionChoice(TypedDict):
    token_ids: list[int] | None
    logprobs: CompletionLogprobs | None
    finish_reason: str | None


@dataclass(frozen=True)
class StreamChunk:
    """Tokens that were just written.

    logprobs, alternatives: for each token, its log-probability and (token, logprob) of the most
        likely ones, best first; empty unless requested.
    finish_reason: "stop" or "length" in the last chunk.
    """

    token_ids: list[int]
    logprobs: list[float] = field(default_factory=list)
    alternatives: list[list[tuple[int, float]]] = field(default_factory=list)
    finish_reason: str | None = None


class VllmClient:
    """For one run of the child process, whose key it has."""

    def __init__(self, socket: Path, key: str) -> None:
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=str(socket), limits=httpx.Limits(max_connections=None)
            ),
            base_url="http://vllm",
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT,
        )

    async def is_healthy(self) -> bool:
        try:
            response = await self._http.get("/health", timeout=HEALTH_TIMEOUT_SECONDS)
        except httpx.HTTPError:
            return False
        return response.status_code == 200

    async def context_length(self) -> int:
        """Most tokens of a prompt and its answer. Raises VllmRejected, VllmConnectionError."""
        response = await self._request("GET", "/v1/models")
        return int(response.json()["data"][0]["max_model_len"])

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Raises VllmRejected, VllmConnectionError."""
        body = {"lora_name": name, "lora_path": str(folder)}
        await self._request("POST", "/v1/load_lora_adapter", body)

    async def unload_adapter(self, name: str) -> None:
        """Raises VllmRejected, VllmConnectionError."""
        await self._request("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    async def prompt_logprobs(self, name: str, token_ids: list[int]) -> list[float]:
        """Log-probability of each token but the first. Raises VllmRejected, VllmConnectionError."""
        body = {
            "model": name,
            "prompt": token_ids,
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
        }
        answer = (await self._request("POST", "/v1/completions", body)).json()
        entries = answer["choices"][0]["prompt_logprobs"][1:]
        return [
            float(entry[str(token)]["logprob"])
            for entry, token in zip(entries, token_ids[1:], strict=True)
        ]

    async def stream(self, body: CompletionBody) -> AsyncGenerator[StreamChunk, None]:
        """A completion as it is written; closing the generator ends vLLM's work on it.

        Raises VllmRejected, VllmConnectionError.
        """
        output = {"stream": True, "return_token_ids": True, "return_tokens_as_token_ids": True}
        sent = {**body, **output}
        try:
            async with self._http.stream("POST", "/v1/completions", json=sent) as response:
                await _raise_for_status(response)
                async for line in response.aiter_lines():
                    if line == "data: [DONE]":
                        return
                    if line.startswith("data: "):
                        for choice in _choices(json.loads(line[6:])):
                            yield _chunk(choice)
        except (httpx.HTTPError, ValueError) as error:
            raise VllmConnectionError(repr(error)) from error
        raise VllmConnectionError("the stream ended early")

    async def close(self) -> None:
        await self._http.aclose()

    async def _request(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            response = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise VllmConnectionError(repr(error)) from error
        await _raise_for_status(response)
        return response


async def _raise_for_status(response: httpx.Response) -> None:
    if not response.is_success:
        await response.aread()
        raise VllmRejected(_error_message(response.text))


def _error_message(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:300]


def _choices(event: Any) -> list[CompletionChoice]:
    if "error" in event:  # in the middle of a stream that began well
        raise VllmConnectionError(str(event["error"].get("message", event["error"])))
    return list(event["choices"])


def _chunk(choice: CompletionChoice) -> StreamChunk:
    logprobs: CompletionLogprobs | dict[str, None] = choice.get("logprobs") or {}
    return StreamChunk(
        token_ids=list(choice.get("token_ids") or ()),
        logprobs=[_logprob(value) for value in logprobs.get("token_logprobs") or ()],
        alternatives=[_sorted(one or {}) for one in logprobs.get("top_logprobs") or ()],
        finish_reason=choice.get("finish_reason"),
    )


def _sorted(found: dict[str, float]) -> list[tuple[int, float]]:
    """Best first: vLLM puts the token that was written among them, whatever its rank."""
    pairs = [(int(name.removeprefix(TOKEN_ID)), _logprob(value)) for name, value in found.items()]
    return sorted(pairs, key=lambda pair: -pair[1])


def _logprob(value: float | None) -> float:
    return -math.inf if value is None else float(value)
