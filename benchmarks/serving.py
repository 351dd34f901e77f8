"""How many people can be answered at once: our engine beside what one would use instead.

    python -m benchmarks.serving MODEL_FOLDER [--format bf16] [--streams 1 8 32] [--adapters 0 1 8]
        [--openvino PYTHON] [--warm 8] [--rounds 1] [--only engine "OpenVINO GenAI, f16"]

Each stream asks, reads its answer as it comes, and asks again: greedy, 64 new tokens at most. The
engine is the process that the app starts, asked over its socket; "without HTTP" is the same one as
a thread of this program, so what lies between is its server and whoever asks it. llama.cpp and
OpenVINO GenAI read the same model from a GGUF file, in 16 bits and in 8, and answer with the base
model alone, as does `transformers serve`; transformers' `generate` with PEFT answers one request
after another, as a script does. The same prompts and machine for all, one after the other in one
run. Each is started anew for each number of adapters and asked for some seconds before each row,
so a row is a state that lasts: the engine compiles its graphs while it is used. Where the machine
is noisy, measure fewer ways in several rounds.

What is not here is said in its rows. llama.cpp: `python -m benchmarks.llama_cpp`. OpenVINO: `pip
install openvino-genai` into an environment of its own. `transformers serve`: `pip install
"transformers[serving]"`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import httpx
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from benchmarks.decoding import prompts
from benchmarks.serving_load import BASE_ONLY, NEW_TOKENS, TIMEOUT, Answer, Ask, Load, under_load
from benchmarks.serving_references import (
    generate,
    llama_cpp,
    openvino,
    transformers_serve,
    write_gguf,
)
from finetune_app.core.engine_protocol import INT8
from worker.engine.backend import StreamItem
from worker.engine.engine import Engine
from worker.engine.model_loader import DTYPES
from worker.engine.requests import Completion, GenerationRequest
from worker.engine.server import SWITCH_SECONDS

SECRET = "only for this benchmark"
Start = Callable[[], AbstractContextManager[Ask]]


@contextlib.contextmanager
def engine(data: Path, number_format: str, **environment: str) -> Iterator[Ask]:
    """The engine process over `data`, with the base model and its adapters below it."""
    place = Path(tempfile.mkdtemp()) / "engine.sock"
    names = {"FINETUNE_ENGINE_SECRET": SECRET, "FINETUNE_DATA_DIR": str(data)} | environment
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
            "adapter": None if adapter == BASE_ONLY else str(data / f"adapter-{adapter}"),
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


@contextlib.contextmanager
def without_http(data: Path, number_format: str) -> Iterator[Ask]:
    """The engine on a thread of this process."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)  # as in its own process

    def ask(question: str, adapter: int) -> Answer:
        request = GenerationRequest(
            [{"role": "user", "content": question}],
            adapter=None if adapter == BASE_ONLY else data / f"adapter-{adapter}",
            max_new_tokens=NEW_TOKENS,
        )
        items: queue.SimpleQueue[StreamItem] = queue.SimpleQueue()
        began, first = time.perf_counter(), None
        made.submit(request, items.put)
        while isinstance(item := items.get(), str):
            first = first or time.perf_counter()
        assert isinstance(item, Completion), item
        return Answer((first or began) - began, time.perf_counter() - began, item.tokens)

    try:
        with Engine(data / "base", number_format) as made:
            yield ask
    finally:
        sys.setswitchinterval(usual)


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


def row(how: str, streams: int, adapters: int, load: Load, ours: float) -> str:
    return (
        f"| {how} | {streams} | {adapters or 'base only'} | {load.rate:.0f} | "
        f"{ours / load.rate:.2f} times | {load.at(50, 'first'):.2f} s | "
        f"{load.at(95, 'first'):.2f} s | {load.at(95, 'whole'):.1f} s |"
    )


class Table:
    """Prints a row for each measurement; the first way to serve is what all others are compared
    with, at as many streams and adapters."""

    def __init__(self, requests: int, warm: float, only: list[str]) -> None:
        self.requests, self.warm, self.only = requests, warm, only
        self.asked = 0  # times
        self.ours: dict[tuple[int, int], float] = {}

    def begin(self) -> None:
        """A round of everything, with ratios of its own."""
        self.ours = {}
        print("| how | streams | adapters | tokens/s | engine is | first, 50 % | 95 % | whole |")
        print("|---|---|---|---|---|---|---|---|", flush=True)

    def measure(self, how: str, start: Start, streams: list[int], adapters: list[int]) -> None:
        if self.only and how not in self.only:
            return
        try:
            for kind in adapters:
                with start() as ask:
                    under_load(ask, self._unread(1), 1, kind)  # the model is read
                    for count in streams:
                        self._measure(how, ask, count, kind)
        except (httpx.HTTPError, OSError, RuntimeError) as problem:
            print(f"| {how} | | | not measured: {problem} | | | | |", flush=True)

    def _measure(self, how: str, ask: Ask, streams: int, adapters: int) -> None:
        until = time.monotonic() + self.warm
        while time.monotonic() < until:
            under_load(ask, self._unread(max(streams, adapters)), streams, adapters)
        asked = self._unread(12 if streams == 1 else max(self.requests, streams))
        load = under_load(ask, asked, streams, adapters)
        ours = self.ours.setdefault((streams, adapters), load.rate)
        print(row(how, streams, adapters, load, ours), flush=True)

    def _unread(self, count: int) -> list[str]:
        """Prompts whose beginning no other has."""
        self.asked += 1
        return [f"{self.asked}. {text}" for text in prompts(count)]


def measure_ours(table: Table, data: Path, options: argparse.Namespace) -> None:
    streams, kinds = options.streams, options.adapters
    table.measure("engine", partial(engine, data, options.format), streams, kinds)
    inside = partial(without_http, data, options.format)
    table.measure("engine without HTTP", inside, streams, kinds)
    in_8_bits = partial(engine, data, INT8)
    table.measure("engine, weights in 8 bits", in_8_bits, streams, kinds)
    own = partial(engine, data, options.format, OPENVINO="off")
    table.measure("engine without OpenVINO", own, streams, kinds)


def measure_others(table: Table, data: Path, options: argparse.Namespace) -> None:
    streams = options.streams
    for kind in options.gguf:
        gguf = data / f"{kind}.gguf"
        for count in streams:
            way = partial(llama_cpp, data, gguf, count, torch.get_num_threads())
            table.measure(f"llama.cpp, {kind}", way, [count], [0])
        if options.openvino:
            way = partial(openvino, data, gguf, options.openvino)
            table.measure(f"OpenVINO GenAI, {kind}", way, streams, [0])
    for extra in ((), ("--continuous-batching",)):
        name = " ".join(["`transformers serve", *extra]) + "`"
        table.measure(name, partial(transformers_serve, data, options.format, *extra), streams, [0])
    # One after another takes the same time however many wait.
    if adapters := [count for count in options.adapters if count]:
        way = partial(generate, data, options.format, max(adapters))
        table.measure("`generate`, one at a time", way, streams[:1], adapters)


def _elsewhere(make: Callable[..., object], *given: object) -> None:
    """On a thread of its own: the OpenMP threads that it needs end with it."""
    with ThreadPoolExecutor(1) as passing:
        passing.submit(make, *given).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--format", default="bf16", choices=sorted(DTYPES))
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--adapters", type=int, nargs="+", default=[0, 1, 8], help="0: the base")
    parser.add_argument("--requests", type=int, default=64, help="a cell of several streams")
    parser.add_argument("--warm", type=float, default=8.0, help="seconds before each row")
    parser.add_argument("--gguf", nargs="+", default=["f16", "q8_0"])
    parser.add_argument("--openvino", type=Path, help="python of an environment that has it")
    parser.add_argument("--only", nargs="+", default=[], help="names of the first column")
    parser.add_argument("--rounds", type=int, default=1, help="of everything, in turn")
    options = parser.parse_args()
    print(f"{options.format}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        shutil.copytree(options.model.resolve(), data / "base")  # the engine follows no links
        _elsewhere(make_adapters, data, max(1, *options.adapters))
        for kind in options.gguf:
            _elsewhere(write_gguf, data / "base", data / f"{kind}.gguf", kind)
        table = Table(options.requests, options.warm, options.only)
        for _ in range(options.rounds):
            table.begin()
            measure_ours(table, data, options)
            measure_others(table, data, options)


if __name__ == "__main__":
    main()
