"""How many people can be answered at once: our engine against transformers, one at a time.

    python -m benchmarks.serving MODEL_FOLDER [--format bf16] [--streams 1 8 32] [--adapters 1 8]

Each stream asks, reads its answer as it comes, and asks again: greedy, 64 new tokens at most. The
engine is the process that the app starts, asked over its socket. The references are what a script
does (transformers' `generate` with PEFT, one request after another) and `transformers serve`, which
knows no adapters and so has the easier task: it answers with the base model alone. The same
prompts, number format and machine for all, one after the other in one run. `transformers serve`
needs `pip install "transformers[serving]"`; without it its rows say so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer

from benchmarks.decoding import prompts
from worker.engine.model_loader import DTYPES
from worker.template import load_tokenizer, prompt_token_ids, stop_token_ids

NEW_TOKENS = 64
SECRET = "only for this benchmark"
TIMEOUT = httpx.Timeout(1800.0)


@dataclass
class Answer:
    """How one request went: seconds from asking to the first piece and to the end, tokens."""

    first: float
    whole: float
    tokens: int


Ask = Callable[[str, int], Answer]  # (the question, which adapter)


@dataclass
class Load:
    """What so many streams got together."""

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return sum(one.tokens for one in self.answers) / self.seconds

    def at(self, percent: float, of: str) -> float:
        return float(np.percentile([getattr(one, of) for one in self.answers], percent))


def under_load(ask: Ask, questions: list[str], streams: int, adapters: int) -> Load:
    """All questions, in concurrent streams; question n goes to adapter n modulo `adapters`."""
    load, began = Load(), time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        work = [pool.submit(ask, text, n % adapters) for n, text in enumerate(questions)]
        load.answers = [one.result() for one in work]
    load.seconds = time.perf_counter() - began
    return load


# ---- Ours ----


@contextlib.contextmanager
def engine(data: Path, number_format: str) -> Iterator[Ask]:
    """The engine process over `data`, with the base model and its adapters below it."""
    place = Path(tempfile.mkdtemp()) / "engine.sock"
    names = {"FINETUNE_ENGINE_SECRET": SECRET, "FINETUNE_DATA_DIR": str(data)}
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.engine.server", "--socket", str(place)],
        env=os.environ | names,
        stdin=subprocess.PIPE,
    )
    client = httpx.Client(
        transport=httpx.HTTPTransport(uds=str(place), limits=httpx.Limits(max_connections=64)),
        base_url="http://engine",
        headers={"X-Engine-Secret": SECRET},
        timeout=TIMEOUT,
    )

    def ask(question: str, adapter: int) -> Answer:
        request = {
            "candidate": "one",
            "adapter": str(data / f"adapter-{adapter}"),
            "messages": [{"role": "user", "content": question}],
        }
        body = {
            "base_model": str(data / "base"),
            "number_format": number_format,
            "requests": [request],
            "max_new_tokens": NEW_TOKENS,
        }
        began, first = time.perf_counter(), None
        with client.stream("POST", "/chat", json=body) as reply:
            reply.raise_for_status()
            for line in reply.iter_lines():
                event = json.loads(line)
                first = first or time.perf_counter()
                if event.get("done"):
                    assert not event.get("error"), event
                    break
        return Answer((first or began) - began, time.perf_counter() - began, event["tokens"])

    try:
        while not place.exists():
            assert process.poll() is None, "the engine did not start"
            time.sleep(0.05)
        yield ask
    finally:
        process.kill()
        process.wait()


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


# ---- One run ----


def make_adapters(data: Path, count: int) -> None:
    """Random LoRA adapters of the usual size (rank 16, all linear layers). They change the weights
    by half a percent, as a training does: the engine would not merge much weaker ones."""
    settings = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(data / "base"), settings)
    for n in range(count):
        torch.manual_seed(n)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.005)
        model.save_pretrained(data / f"adapter-{n}")


def row(how: str, streams: int, adapters: str, load: Load, reference: float | None) -> str:
    ratio = f"{load.rate / reference:.1f}" if reference else "1.0"
    return (
        f"| {how} | {streams} | {adapters} | {load.rate:.0f} | {ratio} | "
        f"{load.at(50, 'first'):.2f} s | {load.at(95, 'first'):.2f} s | "
        f"{load.at(95, 'whole'):.1f} s |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--format", default="bf16", choices=sorted(DTYPES))
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--adapters", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--requests", type=int, default=64, help="a cell of several streams")
    options = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{options.format}, {threads} threads, load {os.getloadavg()[0]:.1f}\n")
    print("| how | streams | adapters | tokens/s | ratio | first, 50 % | 95 % | whole, 95 % |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    most = max(options.adapters)
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        shutil.copytree(options.model.resolve(), data / "base")  # the engine follows no links
        with ThreadPoolExecutor(1) as passing:
            passing.submit(make_adapters, data, most).result()
        cells = [(s, a) for s in options.streams for a in options.adapters]
        alone: dict[tuple[int, int], float] = {}

        def measure(how: str, ask: Ask, cells: list[tuple[int, int]], few: int, of: str) -> None:
            under_load(ask, prompts(most), 1, most)  # every adapter is loaded, every path warm
            for streams, adapters in cells:
                count = max(few if streams == 1 else options.requests, streams)
                load = under_load(ask, prompts(count), streams, adapters)
                reference = alone.setdefault((streams, adapters), load.rate)
                label = of or str(adapters)
                print(row(how, streams, label, load, reference), flush=True)

        # One after another takes the same time however many wait; a stream or 8 tell it all.
        with generate(data, options.format, most) as ask:
            measure("`generate`, one at a time", ask, cells, 12, "")
        with engine(data, options.format) as ask:
            measure("engine", ask, cells, 12, "")
        served = [(streams, options.adapters[0]) for streams in options.streams]
        for extra in ((), ("--continuous-batching",)):
            name = " ".join(["`transformers serve", *extra]) + "`"
            try:
                with transformers_serve(data, options.format, *extra) as ask:
                    measure(name, ask, served, 12, "base only")
            except (httpx.HTTPError, RuntimeError) as problem:
                print(f"| {name} | | | not measured: {problem} | | | | |", flush=True)


if __name__ == "__main__":
    main()
