"""How much later the others' next token comes while a long prompt is read.

    python -m benchmarks.long_prompt MODEL_FOLDER [--format bf16] [--streams 1 8] [--rounds 3]

So many streams write; then somebody sends a prompt of about 4,000 tokens, as far as the model's
context has room. Prints the time between two tokens of a stream before and meanwhile, and how long
the prompt took to be read.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.decoding import prompts
from worker.engine.backend import Handle
from worker.engine.compute_thread import ComputeThread
from worker.engine.engine import Engine
from worker.engine.model_loader import DTYPES
from worker.engine.requests import GenerationRequest

LONG_PROMPT_CHARACTERS = 17_000
USUAL_SECONDS = 4.0  # in which the streams write alone


class Streams:
    """Streams that write until the end, and the seconds between their tokens."""

    def __init__(self, engine: Engine, count: int) -> None:
        self.gaps: list[float] = []
        self._handles = [
            engine.submit(request(f"Write a long story ({n}).", 2000)) for n in range(count)
        ]
        self._threads = [threading.Thread(target=self._read, args=(one,)) for one in self._handles]
        for thread in self._threads:
            thread.start()

    def _read(self, handle: Handle) -> None:
        last = None
        for _text in handle:
            now = time.perf_counter()
            if last is not None:
                self.gaps.append(now - last)
            last = now

    def take(self) -> list[float]:
        """Those since the last call."""
        taken, self.gaps = self.gaps, []
        return taken

    def end(self) -> None:
        for handle in self._handles:
            handle.cancel()
        for thread in self._threads:
            thread.join()


def request(text: str, length: int) -> GenerationRequest:
    """Sampled, so that nothing is guessed (worker/engine/drafts.py)."""
    messages = [{"role": "user", "content": text}]
    return GenerationRequest(messages, max_new_tokens=length, temperature=1.0)


def measure(engine: Engine, streams: int, turn: int) -> tuple[list[float], list[float], float, int]:
    """Gaps as usual and while a long prompt is read; the seconds that took; its tokens."""
    writing = Streams(engine, streams)
    time.sleep(1)
    writing.take()
    time.sleep(USUAL_SECONDS)
    usual, began = writing.take(), time.perf_counter()
    text = f"{streams}.{turn}. " + " ".join(prompts(400))  # nobody has read it before
    handle = engine.submit(request(text[:LONG_PROMPT_CHARACTERS], 2))
    next(iter(handle))
    seconds, meanwhile = time.perf_counter() - began, writing.take()
    writing.end()
    return usual, meanwhile, seconds, handle.result().prompt_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--format", default="bf16", choices=sorted(DTYPES))
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        "| streams | usual gap, ms | meanwhile, times: median | 95 % | tokens read | in seconds |"
    )
    print("|---|---|---|---|---|---|")
    with Engine(options.model, options.format, compute=ComputeThread(follow_load=True)) as engine:
        engine.generate([request("Hello", 2)])
        for streams in options.streams:
            rows = [measure(engine, streams, turn) for turn in range(options.rounds)]
            gaps = [statistics.median(usual) for usual, *_others in rows]
            ratios = [
                np.percentile(meanwhile, [50, 95]) / gap
                for gap, (_usual, meanwhile, *_others) in zip(gaps, rows, strict=True)
            ]
            middle, late = np.median(ratios, axis=0)
            seconds, tokens = statistics.median(row[2] for row in rows), rows[0][3]
            gap = 1000 * statistics.median(gaps)
            print(
                f"| {streams} | {gap:.0f} | {middle:.1f} times | {late:.1f} | {tokens} | "
                f"{seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
