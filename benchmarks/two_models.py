"""How long two callers wait who ask two base models, each its own, at the same time.

    python -m benchmarks.two_models MODEL_FOLDER [--format bf16] [--requests 8] [--rounds 3]

Two copies of a model behind the engine's own manager. Each caller asks again as soon as it has its
answer (32 tokens, greedy). With both models in memory, as where it allows
(worker/engine/model_memory.py), and with one at a time, in turn. Prints the seconds that an answer
takes, beside those of one caller alone.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.decoding import prompts
from worker.engine import model_manager
from worker.engine.model_loader import DTYPES
from worker.engine.model_manager import ModelManager
from worker.engine.requests import GenerationRequest

TOKENS = 32


async def ask(manager: ModelManager, model: Path, number_format: str, question: str) -> float:
    """Seconds until the answer is there."""
    request = GenerationRequest([{"role": "user", "content": question}], max_new_tokens=TOKENS)
    began = time.perf_counter()
    async with manager.acquire(model, number_format, 1) as backend:
        handle = backend.submit(request)
        await asyncio.to_thread(handle.result)
    return time.perf_counter() - began


async def caller(manager: ModelManager, model: Path, options: argparse.Namespace) -> list[float]:
    found = []
    for question in prompts(options.requests):
        found.append(await ask(manager, model, options.format, question))
    return found


async def answer_times(
    models: list[Path], options: argparse.Namespace, *, both: bool
) -> list[float]:
    """Of all callers; what is loaded in the beginning is not counted."""
    usual = model_manager.fits_beside
    model_manager.fits_beside = lambda *_folders: both
    manager = ModelManager(models[0].parent)
    try:
        for model in models:
            await ask(manager, model, options.format, "Hello")
        found = await asyncio.gather(*(caller(manager, one, options) for one in models))
    finally:
        await manager.unload()
        model_manager.fits_beside = usual
    return [seconds for times in found for seconds in times]


def row(name: str, times: list[float]) -> str:
    ordered = sorted(times)
    return (
        f"| {name} | {statistics.median(ordered):.2f} | {ordered[int(0.95 * len(ordered))]:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--format", default="bf16", choices=sorted(DTYPES))
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ways: dict[str, list[float]] = {
        "one caller alone": [],
        "both in memory": [],
        "one at a time": [],
    }
    with tempfile.TemporaryDirectory() as place:
        models = [Path(shutil.copytree(options.model, Path(place) / name)) for name in ("a", "b")]
        for _round in range(options.rounds):
            ways["one caller alone"] += asyncio.run(answer_times(models[:1], options, both=True))
            ways["both in memory"] += asyncio.run(answer_times(models, options, both=True))
            ways["one at a time"] += asyncio.run(answer_times(models, options, both=False))
    print("| | an answer, median | 95 % |\n|---|---|---|")
    for name, times in ways.items():
        print(row(name, times))


if __name__ == "__main__":
    main()
