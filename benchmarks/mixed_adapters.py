"""What it costs to answer with eight adapters at once, beside the base model alone.

    OMP_NUM_THREADS=1 python -m benchmarks.mixed_adapters MODEL_FOLDER
        [--format bf16] [--streams 8 32] [--rounds 3]

Counts the processor's time on one thread, not the clock's, and measures both in turn: so the share
is the same beside another program.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.decoding import prompts
from benchmarks.serving import make_adapters
from worker.engine.engine import Engine
from worker.engine.model_loader import DTYPES
from worker.engine.requests import GenerationRequest

ADAPTERS = 8
REQUESTS = 32
NEW_TOKENS = 24


def rate(engine: Engine, streams: int, adapters: list[Path | None]) -> float:
    """Tokens written in a second of the processor's time."""
    requests = [
        GenerationRequest(
            [{"role": "user", "content": question}],
            adapters[number % len(adapters)],
            max_new_tokens=NEW_TOKENS,
        )
        for number, question in enumerate(prompts(REQUESTS))
    ]
    started = time.process_time()
    with ThreadPoolExecutor(streams) as pool:
        answers = list(pool.map(lambda request: engine.generate([request])[0], requests))
    tokens = sum(len(answer.token_ids) for answer in answers)
    return tokens / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--format", default="bf16", choices=sorted(DTYPES))
    parser.add_argument("--streams", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| streams | base model, tokens a second | eight adapters | less |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        (data / "base").symlink_to(options.model.resolve())
        make_adapters(data, ADAPTERS)
        mixed: list[Path | None] = [data / f"adapter-{number}" for number in range(ADAPTERS)]
        with Engine(data / "base", options.format) as engine:
            for streams in options.streams:
                ways = {"base": [None], "mixed": mixed}
                rates = {way: [rate(engine, streams, ways[way])] for way in ways}  # warm up
                for _ in range(options.rounds):
                    for way, adapters in ways.items():
                        rates[way].append(rate(engine, streams, adapters))
                base, eight = (statistics.median(rates[way][1:]) for way in ways)
                print(f"| {streams} | {base:.0f} | {eight:.0f} | {1 - eight / base:.0%} |")


if __name__ == "__main__":
    main()
