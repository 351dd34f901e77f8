"""How much faster answers are whose next tokens are guessed from what was written before.

    python -m benchmarks.drafts MODEL_FOLDER [--format bf16] [--streams 1 4] [--rounds 3]

Answers that copy from their prompt (a text is to be repeated) and answers in other words, greedy,
with drafts (worker/engine/drafts.py) and without, in turn in one process. Prints tokens a second,
the ratio, and how many answers are the same to the token: in fp32 all have to be.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import product
from pathlib import Path

from benchmarks.decoding import prompts
from worker.engine import chunked_decoder
from worker.engine.engine import Engine
from worker.engine.model_loader import DTYPES
from worker.engine.requests import Completion, GenerationRequest

NEW_TOKENS = 128
SENTENCES = 4  # of a text to repeat


def copying(count: int) -> list[str]:
    sentences = [one.partition(": ")[2] for one in prompts(count * SENTENCES)]
    texts = [" ".join(some) for some in parts(sentences, SENTENCES)]
    return [f"Repeat this text word by word, three times: {text}" for text in texts]


def parts(texts: list[str], size: int) -> list[list[str]]:
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def answers(
    engine: Engine, questions: list[str], streams: int, free_tokens: int
) -> tuple[float, list[Completion]]:
    """Tokens a second, and the answers."""
    chunked_decoder.FREE_TOKENS = free_tokens  # 0: nothing is guessed
    found: list[Completion] = []
    began = time.perf_counter()
    for some in parts(questions, streams):
        requests = [
            GenerationRequest([{"role": "user", "content": one}], max_new_tokens=NEW_TOKENS)
            for one in some
        ]
        found += engine.generate(requests)
    return sum(one.tokens for one in found) / (time.perf_counter() - began), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--format", default="bf16", choices=sorted(DTYPES))
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answers", type=int, default=8)
    options = parser.parse_args()
    kinds = {"copied": copying(options.answers), "in other words": prompts(options.answers)}
    usual = chunked_decoder.FREE_TOKENS
    print("| answers | streams | without | with drafts | ratio | the same |")
    print("|---|---|---|---|---|---|")
    with Engine(options.model, options.format) as engine:
        engine.generate([GenerationRequest([{"role": "user", "content": "Hello"}])])
        for (kind, questions), streams in product(kinds.items(), options.streams):
            answers(engine, questions, streams, 0)  # from now on the prompts are known
            rates: dict[int, list[float]] = {0: [], usual: []}
            ids = {}
            for free_tokens in [0, usual] * options.rounds:
                rate, found = answers(engine, questions, streams, free_tokens)
                rates[free_tokens].append(rate)
                ids[free_tokens] = [one.token_ids for one in found]
            without, with_drafts = (statistics.median(one) for one in rates.values())
            same = sum(one == other for one, other in zip(*ids.values(), strict=True))
            print(
                f"| {kind} | {streams} | {without:.0f} | {with_drafts:.0f} | "
                f"{with_drafts / without:.2f} | {same} of {len(questions)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
