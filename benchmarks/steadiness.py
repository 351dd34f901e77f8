"""What training, evaluation and serving keep of their speed while other programs are busy.

    python -m benchmarks.steadiness MODEL_FOLDER [--cores 1] [--rounds 3] [--streams 1 8 32]

Other programs are Python loops, one or two of them, or one per core with `--cores`, to which
everything is bound then. Every kind of work is measured quiet and beside them in turn, `--rounds`
times, so that whatever else the machine does slows all alike; the table shows medians, and shares
of the quiet speed. Training learns as a job does, evaluation answers in batches as a job does (both
in the environment of such jobs), serving is the engine's process asked over its socket, as in
benchmarks/serving.py. The last rows are training beside serving: each beside the other instead of
beside loops.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.decoding import prompts
from benchmarks.serving import engine, make_adapters
from benchmarks.serving_load import Ask, under_load
from benchmarks.training import OURS, ROOT, Runner
from finetune_app.core.machine import training_environment

ANSWERED_AT_ONCE = 32
STEPS = 4  # of training in one measurement

Figures = dict[str, float]  # name -> tokens a second, or seconds to the first token
Measure = Callable[[], Figures]
Load = Callable[[], contextlib.AbstractContextManager[None]]
Found = dict[str, dict[str, list[float]]]  # name -> load -> a figure of each round


# ---- The kinds of work ----


class Evaluation:
    """The engine as an evaluation uses it, in a process of its own. One line in, one batch."""

    def __init__(self, model: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.steadiness", "--evaluate", str(model)],
            env=training_environment() | os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        self.measure()  # loads the model

    def measure(self) -> Figures:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return {"evaluation, tokens/s": float(self.process.stdout.readline())}


def evaluate(model: Path) -> None:
    """Answer a batch for each line of standard input, and print its tokens a second."""
    from worker.engine.engine import Engine
    from worker.engine.requests import GenerationRequest
    from worker.thread_waits import follow_load

    follow_load()  # as a job's process does
    with Engine(model, may_merge=False) as loaded:
        requests = [
            GenerationRequest([{"role": "user", "content": one}], max_new_tokens=48)
            for one in prompts(ANSWERED_AT_ONCE)
        ]
        for _ in sys.stdin:
            began = time.perf_counter()
            tokens = sum(one.tokens for one in loaded.generate(requests))
            print(json.dumps(tokens / (time.perf_counter() - began)), flush=True)


def serving(ask: Ask, streams: int) -> Measure:
    def measure() -> Figures:
        questions = prompts(max(4, 2 * streams))
        load = under_load(ask, questions, streams, 1)
        what = f"serving, {streams} stream" + "s" * (streams > 1)
        return {f"{what}, tokens/s": load.rate, f"{what}, first token, s": load.at(95, "first")}

    return measure


def training(runner: Runner) -> Measure:
    def measure() -> Figures:
        before = len(runner.steps)
        while (missing := before + STEPS - len(runner.steps)) > 0:
            if runner.held_out is not None:  # it has learned all its rows
                runner.end()
                runner.held_out = None
                runner.start()
            runner.advance(missing)
            if runner.held_out is None and runner.process.poll() is not None:
                raise SystemExit("The training ended by itself.")
        done = runner.steps[before:]
        tokens, seconds = (sum(step[key] for step in done) for key in ("tokens", "wall"))
        return {"training, tokens/s": tokens / seconds}

    return measure


# ---- What they are beside of ----


@contextlib.contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many programs that never wait."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextlib.contextmanager
def beside(work: Measure) -> Iterator[None]:
    """That work, again and again."""
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            work()

    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(repeat)
        time.sleep(1)
        try:
            yield
        finally:
            over.set()
            going.result()


# ---- The table ----


def row(name: str, found: Mapping[str, list[float]]) -> str:
    """The quiet median, and beside each load the share of a rate or the seconds to a token."""
    medians = {load: statistics.median(values) for load, values in found.items()}
    quiet = medians.pop("quiet")
    if name.endswith(", s"):
        cells = [f"{quiet:.2f}", *(f"{value:.2f}" for value in medians.values())]
    else:
        cells = [f"{quiet:.0f}", *(f"{value / quiet:.0%}" for value in medians.values())]
    return f"| {name} | {' | '.join(cells)} |"


def measure(works: list[Measure], loads: dict[str, Load], found: Found) -> None:
    """One round: every kind of work under every load."""
    for work in works:
        for load, under in loads.items():
            with under():
                for name, figure in work().items():
                    found.setdefault(name, {}).setdefault(load, []).append(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--cores", type=int, help="bind everything to so many cores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--evaluate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.evaluate:
        evaluate(options.model)
        return
    if options.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    cores = len(os.sched_getaffinity(0))
    quiet: dict[str, Load] = {"quiet": partial(busy, 0)}
    loads = quiet | {f"{count} busy": partial(busy, count) for count in range(1, cores + 1)}
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f}\n")
    with contextlib.ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copytree(options.model.resolve(), data / "base")
        with ThreadPoolExecutor(1) as passing:
            passing.submit(make_adapters, data, 1).result()
        ask = stack.enter_context(engine(data, "auto"))
        evaluation = Evaluation(data / "base")
        stack.callback(evaluation.process.kill)
        runner = Runner(OURS, data / "base", cores)
        runner.start()
        stack.callback(runner.end)
        runner.advance(1)
        served = [serving(ask, streams) for streams in options.streams]
        for work in served:
            work()
        learns, answers = training(runner), served[min(1, len(served) - 1)]
        found: Found = {}
        together: Found = {}
        for _ in range(options.rounds):
            measure([learns, evaluation.measure, *served], loads, found)
            measure([learns], quiet | {"beside": partial(beside, answers)}, together)
            measure([answers], quiet | {"beside": partial(beside, learns)}, together)
    print(f"| | {' | '.join(loads)} |\n|---{'|---' * len(loads)}|")
    print("\n".join(row(name, figures) for name, figures in found.items()))
    print("\n| training and serving at once | alone | beside the other |\n|---|---|---|")
    print("\n".join(row(name, figures) for name, figures in together.items()))


if __name__ == "__main__":
    main()
