"""What serves a model beside our engine in benchmarks/serving.py.

Each is a context manager that gives a function to ask it: the seconds to the first token, to the
end, and the tokens of one answer.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer

from benchmarks.llama_cpp import MODULES
from benchmarks.serving_load import NEW_TOKENS, TIMEOUT, Answer, Ask
from finetune_app.model_export.job_messages import Provenance
from worker.engine.model_loader import DTYPES
from worker.model_export import gguf_file
from worker.model_export.vocabulary import vocabulary_of
from worker.template import load_tokenizer, prompt_token_ids, stop_token_ids

# ---- transformers, one request after another ----


class First(BaseStreamer):
    """Records the time of the first new token; `put` gets the prompt before it."""

    def __init__(self) -> None:
        self.calls, self.at = 0, 0.0

    def put(self, value: torch.Tensor) -> None:
        self.calls += 1
        if self.calls == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        pass


@contextlib.contextmanager
def generate(data: Path, number_format: str, adapters: int) -> Iterator[Ask]:
    """`generate`, one request after another, loaded and called on one thread: with more, OpenMP's
    helpers sleep between products and a token takes 1.6 times as long (worker/engine/engine.py)."""
    base = data / "base"
    tokenizer = load_tokenizer(base)
    ends = sorted(stop_token_ids(tokenizer))

    def load() -> Any:
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=DTYPES[number_format])
        model = PeftModel.from_pretrained(model, data / "adapter-0", adapter_name="0")
        for n in range(1, adapters):
            model.load_adapter(data / f"adapter-{n}", adapter_name=str(n))
        return model.eval()

    def answer(ids: list[int], adapter: int, first: First) -> int:
        with torch.inference_mode():
            model.set_adapter(str(adapter))
            out = model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids)),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                eos_token_id=ends,
                streamer=first,
            )
        return int(out.shape[1]) - len(ids)

    def ask(question: str, adapter: int) -> Answer:
        began, first = time.perf_counter(), First()
        ids = prompt_token_ids(tokenizer, [{"role": "user", "content": question}])
        tokens = alone.submit(answer, ids, adapter, first).result()
        return Answer(first.at - began, time.perf_counter() - began, tokens)

    with ThreadPoolExecutor(1) as alone:
        model = alone.submit(load).result()
        yield ask


# ---- llama.cpp and OpenVINO, from a GGUF file of the base model ----


def write_gguf(base: Path, path: Path, number_format: str) -> None:
    """number_format: f16 or q8_0."""
    tokenizer = load_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    vocabulary = vocabulary_of(tokenizer, model.get_input_embeddings().weight.shape[0])
    about: Provenance = {"title": "", "base": "", "goal": "", "licence": ""}
    gguf_file.write(path, model, vocabulary, number_format, about)


def llama_cpp(data: Path, gguf: Path, streams: int, threads: int) -> AbstractContextManager[Ask]:
    """Run `python -m benchmarks.llama_cpp` before."""
    script = Path(__file__).with_name("llama_cpp_streams.mjs")
    return _by_lines(
        data, ["node", str(script), str(MODULES), str(gguf), str(streams), str(threads)]
    )


def openvino(data: Path, gguf: Path, python: Path) -> AbstractContextManager[Ask]:
    """python: of an environment with openvino-genai."""
    script = Path(__file__).with_name("openvino_streams.py")
    return _by_lines(data, [str(python), str(script), str(gguf)])


@contextlib.contextmanager
def _by_lines(data: Path, command: Sequence[str]) -> Iterator[Ask]:
    """A program that reads {id, prompt, tokens} as JSON lines, and writes {id, first} with the
    first token of each answer and {id, tokens} at its end."""
    tokenizer = load_tokenizer(data / "base")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    to, said = process.stdin, process.stdout
    assert to
    assert said
    if not said.readline():
        raise RuntimeError(f"{Path(command[0]).name} did not start")
    answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
    numbers, lock = itertools.count(), threading.Lock()

    def listen() -> None:
        for line in said:
            event = json.loads(line)
            answers[event["id"]].put(event)

    def ask(question: str, _adapter: int) -> Answer:
        number, began, first = next(numbers), time.perf_counter(), 0.0
        answer = answers[number] = queue.SimpleQueue()
        ids = prompt_token_ids(tokenizer, [{"role": "user", "content": question}])
        with lock:
            print(
                json.dumps({"id": number, "prompt": ids, "tokens": NEW_TOKENS}), file=to, flush=True
            )
        while "tokens" not in (event := answer.get()):
            first = time.perf_counter() - began
        return Answer(first, time.perf_counter() - began, event["tokens"])

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield ask
    finally:
        process.kill()
        process.wait()


# ---- transformers serve ----


@contextlib.contextmanager
def transformers_serve(data: Path, number_format: str, *options: str) -> Iterator[Ask]:
    """The base model behind `transformers serve`."""
    base, port = data / "base", _free_port()
    dtype = str(DTYPES[number_format]).removeprefix("torch.")
    program = Path(sys.executable).with_name("transformers")
    process = subprocess.Popen(
        [
            str(program),
            "serve",
            str(base),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--dtype",
            dtype,
            "--device",
            "cpu",
            *options,
        ],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    tokenizer = load_tokenizer(base)
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        timeout=TIMEOUT,
        limits=httpx.Limits(max_connections=64),
    )

    def ask(question: str, _adapter: int) -> Answer:
        body = {
            "model": str(base),
            "stream": True,
            "max_tokens": NEW_TOKENS,
            "temperature": 0,
            "messages": [{"role": "user", "content": question}],
        }
        began, first, text = time.perf_counter(), None, ""
        with client.stream("POST", "/v1/chat/completions", json=body) as reply:
            reply.raise_for_status()
            for line in reply.iter_lines():
                if not line.startswith("data: {"):
                    continue
                for choice in json.loads(line[6:]).get("choices", []):
                    if piece := (choice.get("delta") or {}).get("content"):
                        first = first or time.perf_counter()
                        text += piece
        tokens = len(tokenizer(text, add_special_tokens=False)["input_ids"])
        return Answer((first or began) - began, time.perf_counter() - began, tokens)

    try:
        until = time.monotonic() + 180
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("transformers serve did not start")
            time.sleep(0.2)
        yield ask
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
