"""A small server with vLLM's command line, routes and formats (checked against the source and the
running server of vLLM 0.32), which computes a tiny Llama with its adapters in plain numpy.

    FAULT=… python -m tests.worker.engine.vllm.fake_vllm serve FOLDER …

Faults: `base` loads an adapter and answers without it; `twice` applies it twice; `refuse` loads
none; `crash` ends in the middle of an answer, the first time; `crashes` each time; `dies` never
starts; `slow` takes a while to; `pauses` between tokens. What happened is noted in the file NOTES.
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
from llguidance import LLMatcher, LLTokenizer
from safetensors.numpy import load_file
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

FAULT, NOTES = os.environ.get("FAULT", ""), Path(os.environ.get("NOTES", "/dev/null"))
Array = np.ndarray
Pairs = dict[str, tuple[Array, Array]]


def note(words: str) -> None:
    with NOTES.open("a") as file:
        file.write(words + "\n")


class Llama:
    """A Llama of transformers' tests' size: the whole text is read anew for each token."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        self.heads, self.shared = (
            self.config["num_attention_heads"],
            self.config["num_key_value_heads"],
        )
        self.width = self.config["hidden_size"] // self.heads
        rope = self.config.get("rope_parameters") or self.config
        steps = np.arange(0, self.width, 2) / self.width
        self.turns = 1.0 / float(rope["rope_theta"]) ** steps

    def scores(self, ids: list[int], adapter: Pairs | None) -> Array:
        """Log-probabilities of whatever comes after each of these tokens."""

        def linear(name: str, x: Array) -> Array:
            out = x @ self.weights[f"{name}.weight"].T
            if adapter and name in adapter:
                down, up = adapter[name]
                out = out + (x @ down.T) @ up.T
            return out

        x = self.weights["model.embed_tokens.weight"][ids].astype(np.float32)
        for at in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{at}"
            y = self._norm(x, f"{layer}.input_layernorm")
            q, k, v = (linear(f"{layer}.self_attn.{one}_proj", y) for one in "qkv")
            x = x + linear(f"{layer}.self_attn.o_proj", self._attend(q, k, v))
            y = self._norm(x, f"{layer}.post_attention_layernorm")
            gate = linear(f"{layer}.mlp.gate_proj", y)
            open_ = gate / (1 + np.exp(-gate)) * linear(f"{layer}.mlp.up_proj", y)
            x = x + linear(f"{layer}.mlp.down_proj", open_)
        logits = linear("lm_head", self._norm(x, "model.norm"))
        high = logits.max(-1, keepdims=True)
        return np.asarray(logits - high - np.log(np.exp(logits - high).sum(-1, keepdims=True)))

    def _norm(self, x: Array, name: str) -> Array:
        size = np.sqrt((x * x).mean(-1, keepdims=True) + self.config["rms_norm_eps"])
        return np.asarray(x / size * self.weights[f"{name}.weight"])

    def _attend(self, q: Array, k: Array, v: Array) -> Array:
        tokens = len(q)
        angles = np.outer(np.arange(tokens), self.turns)
        cos, sin = (np.concatenate([f(angles)] * 2, -1) for f in (np.cos, np.sin))

        def heads(x: Array, count: int) -> Array:
            return np.repeat(x.reshape(tokens, count, -1), self.heads // count, 1).swapaxes(0, 1)

        def turned(x: Array) -> Array:
            half = self.width // 2
            return np.asarray(x * cos + np.concatenate([-x[..., half:], x[..., :half]], -1) * sin)

        q, k, v = heads(q, self.heads), heads(k, self.shared), heads(v, self.shared)
        near = turned(q) @ turned(k).swapaxes(-1, -2) / np.sqrt(self.width)
        near = np.where(np.tril(np.ones((tokens, tokens), bool)), near, -np.inf)
        share = np.exp(near - near.max(-1, keepdims=True))
        seen = share / share.sum(-1, keepdims=True) @ v
        return np.asarray(seen.swapaxes(0, 1).reshape(tokens, -1))


def read_lora(folder: Path, largest: int) -> Pairs:
    config = json.loads((folder / "adapter_config.json").read_text())
    if config["r"] > largest:
        raise ValueError(f"LoRA rank {config['r']} is greater than max_lora_rank {largest}.")
    scale = config["lora_alpha"] / config["r"] * {"twice": 2, "base": 0}.get(FAULT, 1)
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
        self.adapters: dict[str, Pairs] = {}
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

    def _card(self, name: str, root: str, parent: str | None, most: int | None) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "vllm",
            "root": root,
            "parent": parent,
            "max_model_len": most,
            "permission": [],
        }

    async def load(self, request: Request) -> Response:
        asked = await request.json()
        name = asked["lora_name"]
        if name in self.adapters:
            return _error(400, f"The lora adapter '{name}' has already been loaded.")
        try:
            if FAULT == "refuse":
                raise ValueError("Call to add_lora method failed")
            self.adapters[name] = read_lora(
                Path(asked["lora_path"]), int(self.options.max_lora_rank)
            )
        except (ValueError, OSError) as problem:
            return _error(500, str(problem), "InternalServerError")
        note(f"loaded {Path(asked['lora_path']).name}")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        if name not in self.adapters:
            return _error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        del self.adapters[name]
        note("unloaded")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def completions(self, request: Request) -> Response:
        asked = await request.json()
        name = asked["model"]
        if name != "base" and name not in self.adapters:
            return _error(404, f"The model `{name}` does not exist.", "NotFoundError")
        if len(asked["prompt"]) + asked["max_tokens"] > 4096:
            return _error(400, "This model's maximum context length is 4096 tokens.")
        try:
            writing = Writing(self, asked)
        except ValueError as problem:
            return _error(400, str(problem))
        if asked.get("stream"):
            return StreamingResponse(writing.stream(), media_type="text/event-stream")
        return JSONResponse(writing.whole())


class Writing:
    """One answer. The keys are vLLM's, and only those that our client sends."""

    KEYS = {
        "model",
        "prompt",
        "max_tokens",
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "stop_token_ids",
        "logprobs",
        "prompt_logprobs",
        "stream",
        "return_token_ids",
        "return_tokens_as_token_ids",
        "structured_outputs",
    }

    def __init__(self, server: Server, asked: dict[str, Any]) -> None:
        unknown = set(asked) - self.KEYS
        if unknown:
            raise ValueError(f"the stand-in does not know {unknown}")
        self.server, self.asked = server, asked
        self.adapter = server.adapters.get(asked["model"])
        self.random = np.random.default_rng(asked.get("seed"))
        self.written: list[int] = []
        self.ends = {*asked.get("stop_token_ids", ()), server.model.config["eos_token_id"]}
        form = asked.get("structured_outputs")
        self.matcher = self._matcher(form["json"]) if form else None

    def _matcher(self, schema: dict[str, Any]) -> LLMatcher:
        """As vLLM's backend “guidance” reads a schema."""
        tokens = LLTokenizer(
            (self.server.folder / "tokenizer.json").read_text(),
            eos_token=self.server.model.config["eos_token_id"],
        )
        grammar = LLMatcher.grammar_from_json_schema(
            json.dumps(schema), defaults={"whitespace_flexible": True}
        )
        return LLMatcher(tokens, grammar, log_level=0)

    def whole(self) -> dict[str, Any]:
        ids = self.asked["prompt"]
        scores = self.server.model.scores(ids, self.adapter)
        told = [None] + [
            {str(token): {"logprob": float(row[token]), "rank": 1, "decoded_token": "…"}}
            for row, token in zip(scores, ids[1:], strict=False)
        ]
        choice = {
            "index": 0,
            "text": "…",
            "logprobs": None,
            "finish_reason": "length",
            "stop_reason": None,
            "token_ids": None,
            "prompt_logprobs": told,
            "prompt_token_ids": None,
        }
        return {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self.asked["model"],
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
                tokens, told = [], []
                for _ in range(2 if len(self.written) % 3 else 1):  # several may share a chunk
                    token, entry = self._next()
                    tokens.append(token)
                    told.append(entry)
                    if token in self.ends:
                        finish_reason = "stop"
                    elif len(self.written) >= self.asked["max_tokens"]:
                        finish_reason = "length"
                    if finish_reason:
                        break
                yield self._event(tokens, told, finish_reason)
                await asyncio.sleep(0.05 if FAULT == "pauses" else 0)
                self._perhaps_crash()
            yield b"data: [DONE]\n\n"
        except asyncio.CancelledError:
            note("aborted")
            raise

    def _next(self) -> tuple[int, Any]:
        ids = [*self.asked["prompt"], *self.written]
        sure = self.server.model.scores(ids, self.adapter)[-1]
        times = np.bincount(self.written, minlength=len(sure)).astype(np.float32)
        scores = sure - self.asked["presence_penalty"] * (times > 0)
        scores = scores - self.asked["frequency_penalty"] * times
        if self.matcher:
            allowed = np.unpackbits(
                np.frombuffer(self.matcher.compute_bitmask(), np.uint8), bitorder="little"
            )
            scores = np.where(allowed[: len(scores)].astype(bool), scores, -np.inf)
        token = int(scores.argmax())
        if self.asked["temperature"] > 0:
            chance = np.exp((scores - scores.max()) / self.asked["temperature"])
            token = int(self.random.choice(len(chance), p=chance / chance.sum()))
        if self.matcher and token not in self.ends:
            self.matcher.consume_token(token)
        self.written.append(token)
        return token, self._told(sure, token)

    def _told(self, sure: Array, token: int) -> Any:
        most = self.asked.get("logprobs")
        if most is None:
            return None
        best = [token, *(int(one) for one in np.argsort(-sure)[:most])]
        return float(sure[token]), {f"token_id:{one}": float(sure[one]) for one in best}

    def _event(self, tokens: list[int], told: list[Any], finish_reason: str | None) -> bytes:
        logprobs = None
        if self.asked.get("logprobs") is not None:
            logprobs = {
                "text_offset": [0] * len(tokens),
                "token_logprobs": [sure for sure, _best in told],
                "tokens": [f"token_id:{token}" for token in tokens],
                "top_logprobs": [best for _sure, best in told],
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
            "model": self.asked["model"],
            "choices": [choice],
        }
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    def _perhaps_crash(self) -> None:
        first = FAULT == "crash" and "crashed" not in NOTES.read_text()
        if len(self.written) > 3 and (first or FAULT == "crashes"):
            note("crashed")
            os._exit(1)


def _error(status: int, message: str, kind: str = "BadRequestError") -> Response:
    told = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": told}, status)


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
    NOTES.touch()
    note("started " + " ".join(sorted(os.environ)))
    if FAULT == "dies":
        raise SystemExit("ValueError: no kernel image is available for execution on the device")
    if FAULT == "slow":
        time.sleep(0.5)
    uvicorn.run(Server(options).app(), uds=options.uds, log_level="warning")


if __name__ == "__main__":
    main()
