"""What vLLM is asked, over HTTP on its Unix socket. Its formats: vLLM 0.32, entrypoints/openai
(completions, with token ids and log-probabilities) and entrypoints/serve/lora."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

MODEL = "base"  # what the base model is called in requests
PATIENCE = httpx.Timeout(300.0, connect=2.0)  # silence longer than this is a fault
TOKEN_ID = "token_id:"  # how vLLM writes a token whose number was asked for


class VllmConnectionError(RuntimeError):
    """vLLM did not answer, or broke off in the middle."""


class VllmRejected(RuntimeError):
    """vLLM said no; the message is its own."""


@dataclass(frozen=True)
class StreamChunk:
    """Tokens just written. `sure`: their log-probabilities, and for each the likeliest tokens with
    theirs, best first; both only where asked. `finish_reason`: "stop" or "length", at the end."""

    tokens: list[int]
    sure: list[float] = field(default_factory=list)
    likeliest: list[list[tuple[int, float]]] = field(default_factory=list)
    finish_reason: str | None = None


class VllmClient:
    """For one start of the child, whose key it knows."""

    def __init__(self, socket: Path, key: str) -> None:
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=str(socket), limits=httpx.Limits(max_connections=None)
            ),
            base_url="http://vllm",
            headers={"Authorization": f"Bearer {key}"},
            timeout=PATIENCE,
        )

    async def healthy(self) -> bool:
        try:
            return (await self._http.get("/health", timeout=5.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def context(self) -> int:
        """Most tokens that it reads and writes in one conversation."""
        answer = await self._ask("GET", "/v1/models")
        return int(answer.json()["data"][0]["max_model_len"])

    async def load(self, name: str, adapter: Path) -> None:
        """Raises VllmRejected, VllmConnectionError."""
        body = {"lora_name": name, "lora_path": str(adapter)}
        await self._ask("POST", "/v1/load_lora_adapter", body)

    async def unload(self, name: str) -> None:
        await self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    async def scores(self, name: str, ids: list[int]) -> list[float]:
        """How likely the model finds each of these tokens but the first, after those before it."""
        body = {
            "model": name,
            "prompt": ids,
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
        }
        told = (await self._ask("POST", "/v1/completions", body)).json()
        rows = told["choices"][0]["prompt_logprobs"][1:]
        return [float(row[str(token)]["logprob"]) for row, token in zip(rows, ids[1:], strict=True)]

    async def stream(self, body: dict[str, Any]) -> AsyncGenerator[StreamChunk, None]:
        """A completion as it is written; closing it ends the writing. Raises VllmRejected,
        VllmConnectionError."""
        body = body | {"stream": True, "return_token_ids": True, "return_tokens_as_token_ids": True}
        try:
            async with self._http.stream("POST", "/v1/completions", json=body) as response:
                await _raise_for(response)
                async for line in response.aiter_lines():
                    if line == "data: [DONE]":
                        return
                    if line.startswith("data: "):
                        for choice in _choices(json.loads(line[6:])):
                            yield _step(choice)
        except (httpx.HTTPError, ValueError) as problem:
            raise VllmConnectionError(repr(problem)) from problem
        raise VllmConnectionError("the stream broke off")

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            response = await self._http.request(method, path, json=body)
        except httpx.HTTPError as problem:
            raise VllmConnectionError(repr(problem)) from problem
        await _raise_for(response)
        return response


async def _raise_for(response: httpx.Response) -> None:
    if not response.is_success:
        await response.aread()
        raise VllmRejected(_message(response.text))


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:300]


def _choices(event: dict[str, Any]) -> list[dict[str, Any]]:
    if "error" in event:  # in the middle of a stream that began well
        raise VllmConnectionError(str(event["error"].get("message", event["error"])))
    return list(event["choices"])


def _step(choice: dict[str, Any]) -> StreamChunk:
    told = choice.get("logprobs") or {}
    return StreamChunk(
        tokens=list(choice.get("token_ids") or ()),
        sure=[_number(value) for value in told.get("token_logprobs") or ()],
        likeliest=[_ranked(one or {}) for one in told.get("top_logprobs") or ()],
        finish_reason=choice.get("finish_reason"),
    )


def _ranked(found: dict[str, float]) -> list[tuple[int, float]]:
    """vLLM puts the token that was written among the likeliest, wherever it stands."""
    named = [(int(name.removeprefix(TOKEN_ID)), _number(value)) for name, value in found.items()]
    return sorted(named, key=lambda one: -one[1])


def _number(value: float | None) -> float:
    return -math.inf if value is None else float(value)
