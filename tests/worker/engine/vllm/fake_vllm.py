"""A fake vLLM server: its command line, routes and formats (as of vLLM 0.32), with a tiny Llama and
its LoRA adapters in numpy.

    FAULT=… python -m tests.worker.engine.vllm.fake_vllm serve FOLDER …

Faults: ignore_adapter (loads adapters and answers without), double_scale, reject_adapter,
crash_once and crash_always (during an answer), fail_to_start, slow_start, slow_tokens. Events are
recorded in the file EVENTS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from llguidance import LLMatcher, LLTokenizer, grammar_from
from safetensors.numpy import load_file
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

FAULT, EVENTS = os.environ.get("FAULT", ""), Path(os.environ.get("EVENTS", "/dev/null"))
Array = np.ndarray
LoraWeights = dict[str, tuple[Array, Array]]


def record(event: str) -> None:
    with EVENTS.open("a") as file:
        file.write(event + "\n")


class Llama:
    """A tiny Llama without a KV cache."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        self.heads = self.config["num_attention_heads"]
        self.kv_heads = self.config["num_key_value_heads"]
        self.head_size = self.config["hidden_size"] // self.heads
        rope = self.config.get("rope_parameters") or self.config
        steps = np.arange(0, self.head_size, 2) / self.head_size
        self.inv_freq = 1.0 / float(rope["rope_theta"]) ** steps

    def logprobs(self, input_ids: list[int], adapter: LoraWeights | None) -> Array:
        """Log-probabilities (tokens, vocabulary) of the token after each of `input_ids`."""

        def linear(name: str, x: Array) -> Array:
            out = x @ self.weights[f"{name}.weight"].T
            if adapter and name in adapter:
                down, up = adapter[name]
                out = out + (x @ down.T) @ up.T
            return out

        x = self.weights["model.embed_tokens.weight"][input_ids].astype(np.float32)
        for at in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{at}"
            y = self._norm(x, f"{layer}.input_layernorm")
            q, k, v = (linear(f"{layer}.self_attn.{one}_proj", y) for one in "qkv")
            x = x + linear(f"{layer}.self_attn.o_proj", self._attend(q, k, v))
            y = self._norm(x, f"{layer}.post_attention_layernorm")
            gate = linear(f"{layer}.mlp.gate_proj", y)
            hidden = gate / (1 + np.exp(-gate)) * linear(f"{layer}.mlp.up_proj", y)
            x = x + linear(f"{layer}.mlp.down_proj", hidden)
        logits = linear("lm_head", self._norm(x, "model.norm"))
        high = logits.max(-1, keepdims=True)
        return np.asarray(logits - high - np.log(np.exp(logits - high).sum(-1, keepdims=True)))

    def _norm(self, x: Array, name: str) -> Array:
        size = np.sqrt((x * x).mean(-1, keepdims=True) + self.config["rms_norm_eps"])
        return np.asarray(x / size * self.weights[f"{name}.weight"])

    def _attend(self, q: Array, k: Array, v: Array) -> Array:
        tokens = len(q)
        angles = np.outer(np.arange(tokens), self.inv_freq)
        cos, sin = (np.concatenate([f(angles)] * 2, -1) for f in (np.cos, np.sin))

        def heads(x: Array, count: int) -> Array:
            return np.repeat(x.reshape(tokens, count, -1), self.heads // count, 1).swapaxes(0, 1)

        def rotate(x: Array) -> Array:
            half = self.head_size // 2
            return np.asarray(x * cos + np.concatenate([-x[..., half:], x[..., :half]], -1) * sin)

        q, k, v = heads(q, self.heads), heads(k, self.kv_heads), heads(v, self.kv_heads)
        scores = rotate(q) @ rotate(k).swapaxes(-1, -2) / np.sqrt(self.head_size)
        scores = np.where(np.tril(np.ones((tokens, tokens), bool)), scores, -np.inf)
        attention = np.exp(scores - scores.max(-1, keepdims=True))
        context = attention / attention.sum(-1, keepdims=True) @ v
        return np.asarray(context.swapaxes(0, 1).reshape(tokens, -1))


def read_lora(folder: Path, max_rank: int) -> LoraWeights:
    config = json.loads((folder / "adapter_config.json").read_text())
    if config["r"] > max_rank:
        raise ValueError(f"LoRA rank {config['r']} is greater than max_lora_rank {max_rank}.")
    scale = (
        config["lora_alpha"] / config["r"] * {"double_scale": 2, "ignore_adapter": 0}.get(FAULT, 1)
    )
    tensors = load_file(folder / "adapter_model.safetensors")
    names = {key.removeprefix("base_model.model.").rsplit(".lora_", 1)[0] for key in tensors}
    return {
        name: (
            tensors[f"base_model.model.{name}.lora_A.weight"],
            tensors[f"base_model.model.{name}.lora_B.weight"] * scale,
        )
        for name in names
    }


class Server:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.folder = options, Path(options.model)
        self.model = Llama(self.folder)
        self.adapters: dict[str, LoraWeights] = {}
        self.key = os.environ["VLLM_API_KEY"]

    def app(self) -> Starlette:
        routes = [
            Route("/health", lambda _request: Response()),
            Route("/v1/models", self._guarded(self.models)),
            Route("/v1/completions", self._guarded(self.completions), methods=["POST"]),
        ]
        if os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "0").lower() in ("1", "true"):
            routes += [
                Route("/v1/load_lora_adapter", self._guarded(self.load), methods=["POST"]),
                Route("/v1/unload_lora_adapter", self._guarded(self.unload), methods=["POST"]),
            ]
        return Starlette(routes=routes)

    def _guarded(self, route: Any) -> Any:
        async def guarded(request: Request) -> Response:
            if request.headers.get("Authorization") != f"Bearer {self.key}":
                return JSONResponse({"error": "Unauthorized"}, 401)
            answer: Response = await route(request)
            return answer

        return guarded

    async def models(self, _request: Request) -> Response:
        cards = [self._card("base", str(self.folder), None, 4096)]
        cards += [self._card(name, "…", "base", None) for name in self.adapters]
        return JSONResponse({"object": "list", "data": cards})

    def _card(
        self, name: str, root: str, parent: str | None, max_model_len: int | None
    ) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "vllm",
            "root": root,
            "parent": parent,
            "max_model_len": max_model_len,
            "permission": [],
        }

    async def load(self, request: Request) -> Response:
        body = await request.json()
        name = body["lora_name"]
        if name in self.adapters:
            return _error(400, f"The lora adapter '{name}' has already been loaded.")
        try:
            if FAULT == "reject_adapter":
                raise ValueError("Call to add_lora method failed")
            self.adapters[name] = read_lora(
                Path(body["lora_path"]), int(self.options.max_lora_rank)
            )
        except (ValueError, OSError) as problem:
            return _error(500, str(problem), "InternalServerError")
        record(f"loaded {Path(body['lora_path']).name}")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        if name not in self.adapters:
            return _error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        del self.adapters[name]
        record("unloaded")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def completions(self, request: Request) -> Response:
        body = await request.json()
        name = body["model"]
        if name != "base" and name not in self.adapters:
            return _error(404, f"The model `{name}` does not exist.", "NotFoundError")
        if len(body["prompt"]) + body["max_tokens"] > 4096:
            return _error(400, "This model's maximum context length is 4096 tokens.")
        try:
            completion = Completion(self, body)
        except ValueError as problem:
            return _error(400, str(problem))
        if body.get("stream"):
            return StreamingResponse(completion.stream(), media_type="text/event-stream")
        return JSONResponse(completion.response())


class Completion:
    """One request. KEYS are the fields that our client sends."""

    SAMPLING = {"temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"}
    OUTPUT = {"max_tokens", "stop_token_ids", "logprobs", "prompt_logprobs", "structured_outputs"}
    KEYS = {"model", "prompt", "stream", *SAMPLING, *OUTPUT}
    KEYS |= {"return_token_ids", "return_tokens_as_token_ids"}

    def __init__(self, server: Server, body: dict[str, Any]) -> None:
        unknown = set(body) - self.KEYS
        if unknown:
            raise ValueError(f"the fake does not know {unknown}")
        self.server, self.body = server, body
        self.adapter = server.adapters.get(body["model"])
        self.random = np.random.default_rng(body.get("seed"))
        self.output_token_ids: list[int] = []
        self.stop_token_ids = {*body.get("stop_token_ids", ()), server.model.config["eos_token_id"]}
        structured = body.get("structured_outputs")
        self.matcher = self._matcher(structured["grammar"]) if structured else None

    def _matcher(self, grammar: str) -> LLMatcher:
        """As vLLM's backend “guidance” validates, without a tokenizer, and compiles a grammar."""
        tokens = LLTokenizer(
            (self.server.folder / "tokenizer.json").read_text(),
            eos_token=self.server.model.config["eos_token_id"],
        )
        compiled = grammar_from("grammar", grammar)
        if problem := LLMatcher.validate_grammar(compiled):
            raise ValueError(f"Grammar error: {problem}")
        return LLMatcher(tokens, compiled, log_level=0)

    def response(self) -> dict[str, Any]:
        ids = self.body["prompt"]
        logprobs = self.server.model.logprobs(ids, self.adapter)
        prompt_logprobs = [None] + [
            {str(token): {"logprob": float(row[token]), "rank": 1, "decoded_token": "…"}}
            for row, token in zip(logprobs, ids[1:], strict=False)
        ]
        choice = {
            "index": 0,
            "text": "…",
            "logprobs": None,
            "finish_reason": "length",
            "stop_reason": None,
            "token_ids": None,
            "prompt_logprobs": prompt_logprobs,
            "prompt_token_ids": None,
        }
        return {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self.body["model"],
            "choices": [choice],
            "usage": {
                "prompt_tokens": len(ids),
                "completion_tokens": 1,
                "total_tokens": len(ids) + 1,
            },
        }

    async def stream(self) -> AsyncIterator[bytes]:
        finish_reason = None
        try:
            while finish_reason is None:
                tokens, entries = [], []
                tokens_in_chunk = 2 if len(self.output_token_ids) % 3 else 1
                for _ in range(tokens_in_chunk):
                    token, entry = self._next()
                    tokens.append(token)
                    entries.append(entry)
                    if token in self.stop_token_ids:
                        finish_reason = "stop"
                    elif len(self.output_token_ids) >= self.body["max_tokens"]:
                        finish_reason = "length"
                    if finish_reason:
                        break
                yield self._event(tokens, entries, finish_reason)
                await asyncio.sleep(0.05 if FAULT == "slow_tokens" else 0)
                self._crash_if_injected()
            yield b"data: [DONE]\n\n"
        except asyncio.CancelledError:
            record("aborted")
            raise

    def _next(self) -> tuple[int, Any]:
        input_ids = [*self.body["prompt"], *self.output_token_ids]
        logprobs = self.server.model.logprobs(input_ids, self.adapter)[-1]
        counts = np.bincount(self.output_token_ids, minlength=len(logprobs)).astype(np.float32)
        scores = logprobs - self.body["presence_penalty"] * (counts > 0)
        scores = scores - self.body["frequency_penalty"] * counts
        if self.matcher:
            allowed = np.unpackbits(
                np.frombuffer(self.matcher.compute_bitmask(), np.uint8), bitorder="little"
            )
            scores = np.where(allowed[: len(scores)].astype(bool), scores, -np.inf)
        token = int(scores.argmax())
        if self.body["temperature"] > 0:
            probabilities = np.exp((scores - scores.max()) / self.body["temperature"])
            token = int(
                self.random.choice(len(probabilities), p=probabilities / probabilities.sum())
            )
        if self.matcher and token not in self.stop_token_ids:
            self.matcher.consume_token(token)
        self.output_token_ids.append(token)
        return token, self._logprobs_of(logprobs, token)

    def _logprobs_of(self, logprobs: Array, token: int) -> Any:
        count = self.body.get("logprobs")
        if count is None:
            return None
        best = [token, *(int(one) for one in np.argsort(-logprobs)[:count])]
        return float(logprobs[token]), {f"token_id:{one}": float(logprobs[one]) for one in best}

    def _event(self, tokens: list[int], entries: list[Any], finish_reason: str | None) -> bytes:
        logprobs = None
        if self.body.get("logprobs") is not None:
            logprobs = {
                "text_offset": [0] * len(tokens),
                "token_logprobs": [logprob for logprob, _best in entries],
                "tokens": [f"token_id:{token}" for token in tokens],
                "top_logprobs": [best for _logprob, best in entries],
            }
        choice = {
            "index": 0,
            "text": "…",
            "logprobs": logprobs,
            "finish_reason": finish_reason,
            "stop_reason": None,
            "prompt_token_ids": None,
            "token_ids": tokens,
        }
        chunk = {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": self.body["model"],
            "choices": [choice],
        }
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    def _crash_if_injected(self) -> None:
        first = FAULT == "crash_once" and "crashed" not in EVENTS.read_text()
        if len(self.output_token_ids) > 3 and (first or FAULT == "crash_always"):
            record("crashed")
            os._exit(1)


def _error(status: int, message: str, kind: str = "BadRequestError") -> Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": error}, status)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("serve", choices=["serve"])
    parser.add_argument("model")
    for name in (
        "uds",
        "served-model-name",
        "dtype",
        "max-loras",
        "max-lora-rank",
        "max-logprobs",
        "generation-config",
        "structured-outputs-config.backend",
        "max-model-len",
        "gpu-memory-utilization",
    ):
        parser.add_argument(f"--{name}", required=True)
    for name in ("enable-lora", "disable-log-stats", "disable-uvicorn-access-log"):
        parser.add_argument(f"--{name}", action="store_true", required=True)
    options = parser.parse_args()
    EVENTS.touch()
    record("started " + " ".join(sorted(os.environ)))
    if FAULT == "fail_to_start":
        raise SystemExit("ValueError: no kernel image is available for execution on the device")
    if FAULT == "slow_start":
        time.sleep(0.5)
    uvicorn.run(Server(options).app(), uds=options.uds, log_level="warning")


if __name__ == "__main__":
    main()
