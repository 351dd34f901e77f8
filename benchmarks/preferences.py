"""Does preference tuning learn what people prefer, and at which settings?

    python -m benchmarks.preferences MODEL_FOLDER [--seeds 17 18 19] [--set epochs=3 ...]

The base model answers general instructions twice, at a temperature of 1. A simulated person who
likes it short chooses between them, wrongly in one of ten cases, and skips those of about the same
length. 60 pairs are learned (DPO) and 20
practised on; then the tuned and the base model answer 60 other instructions, and the same person
says which of the two answers is better. The sign test says whether that is chance, and the general
check what was forgotten.

The instructions are not part of the project: FINETUNE_DATA_DIR_SAMPLES says where they lie.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.learning import SAMPLES, perplexity_ratio
from benchmarks.methods import HIDDEN, RecordingChannel, Row
from finetune_app.basemodels.automatic_settings import automatic_settings
from finetune_app.evaluation.verdict.statistics import sign_test
from worker.channel import Job
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.training.loop import run

LEARNED, PRACTISED, HELD_OUT = 60, 20, 60
MAX_PROMPT_CHARACTERS, MAX_NEW_TOKENS = 400, 64
WRONGLY = 0.1
NOTICED = 0.8  # of the other answer's words, at most: a smaller difference is not noticed
ROUNDS = 3  # of two answers to each prompt, at most


def instructions() -> list[list[dict[str, str]]]:
    """One message of the user each."""
    tasks = json.loads((SAMPLES / "seed_tasks_alpaca.json").read_text())
    texts = ["\n\n".join(filter(None, (t["instruction"], t.get("input")))) for t in tasks]
    return [
        [{"role": "user", "content": text}] for text in texts if len(text) < MAX_PROMPT_CHARACTERS
    ]


def likes(one: str, other: str) -> int:
    """1 if the person likes `one` better, -1 if the other, 0 if neither: the shorter one."""
    a, b = len(one.split()), len(other.split())
    return (a <= NOTICED * b) - (b <= NOTICED * a)


def pairs(engine: Engine, prompts: list[Any], rng: random.Random, wanted: int) -> list[Row]:
    """Rows with a better and a worse answer, as the person said; without the undecided."""
    rows: list[Row] = []
    for _ in range(ROUNDS):
        for prompt, one, other in two_answers(engine, prompts, rng):
            choice = likes(one, other)
            if not choice or not one or not other:
                continue
            if (choice > 0) == (rng.random() < WRONGLY):
                one, other = other, one
            answer = {"role": "assistant", "content": one}
            rows.append({"messages": [*prompt, answer], "rejected": other})
        if len(rows) >= wanted:
            break
    return rows[:wanted]


def two_answers(
    engine: Engine, prompts: list[Any], rng: random.Random
) -> list[tuple[Any, str, str]]:
    requests = [
        GenerationRequest(
            prompt, max_new_tokens=MAX_NEW_TOKENS, temperature=1.0, seed=rng.randrange(2**31)
        )
        for prompt in prompts
        for _ in range(2)
    ]
    texts = [answer.text.strip() for answer in engine.generate(requests)]
    return list(zip(prompts, texts[::2], texts[1::2], strict=True))


def one_run(model: Path, changed: dict[str, Any], seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    prompts = instructions()
    rng.shuffle(prompts)
    held_out, rest = prompts[:HELD_OUT], prompts[HELD_OUT:]
    with tempfile.TemporaryDirectory() as place, Engine(model, may_merge=False) as engine:
        folder = Path(place)
        rows = pairs(engine, rest, rng, LEARNED + PRACTISED)
        for at, row in enumerate(rows):
            row |= {"id": at, "split": "train" if at < LEARNED else "validation"}
        (folder / "version.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = automatic_settings(LEARNED, 512, HIDDEN, method="dpo").settings
        spec = settings | {
            "method": "dpo",
            "base_model": str(model),
            "version": str(folder / "version.jsonl"),
            "max_new_tokens": MAX_NEW_TOKENS,
            "seed": seed,
        }
        channel = RecordingChannel()
        started = time.monotonic()
        result = run(Job("training", folder / "run", spec | changed), channel)
        seconds = time.monotonic() - started
        adapter = folder / "run" / "adapter"
        ours, base = (answers(engine, held_out, one) for one in (adapter, None))
        signs = [likes(one, other) for one, other in zip(ours, base, strict=True)]
        test: list[Row] = [
            {"split": "test", "messages": [*prompt, {"role": "assistant", "content": text}]}
            for prompt, text in zip(held_out, base, strict=True)
        ]
        general = perplexity_ratio(engine, folder / "run" / "..", test)
    wins, losses = signs.count(1), signs.count(-1)
    return {
        "seed": seed,
        "pairs": len(rows),
        "wins": wins,
        "losses": losses,
        "p": sign_test(wins, losses),
        "words": [sum(len(t.split()) for t in texts) / len(texts) for texts in (base, ours)],
        "text": general["perplexity_ratio"],
        "level": general["level"],
        "steps": result["steps"],
        "best": result["best_step"],
        "seconds": round(seconds),
        "curve": [
            (p["step"], round(p["validation_loss"], 3), p.get("validation_score"))
            for p in channel.events_of("point")
            if p["validation_loss"] is not None
        ],
        "example": (held_out[0][0]["content"][:80], base[0][:150], ours[0][:150]),
    }


def answers(engine: Engine, prompts: list[Any], adapter: Path | None) -> list[str]:
    requests = [GenerationRequest(one, adapter, max_new_tokens=MAX_NEW_TOKENS) for one in prompts]
    return [answer.text.strip() for answer in engine.generate(requests)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    changed = {name: json.loads(value) for name, value in (one.split("=") for one in asked.set)}
    print(f"settings: {changed or 'as chosen automatically'}")
    print("| seed | better | worse | p | words, base and tuned | text | steps, kept | s |")
    print("|---|---|---|---|---|---|---|---|")
    for seed in asked.seeds:
        found = one_run(asked.model, changed, seed)
        before, after = found["words"]
        print(
            f"| {found['seed']} | {found['wins']} | {found['losses']} | {found['p']:.4f} | "
            f"{before:.0f}, {after:.0f} | {found['text']:.2f} {found['level']} | "
            f"{found['steps']}, {found['best']} | {found['seconds']} |",
            flush=True,
        )
        print(f"  {found['curve']}\n  {found['example']}", flush=True)


if __name__ == "__main__":
    main()
