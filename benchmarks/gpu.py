"""Training on a CUDA card: speed, memory beside the plan, and vLLM.

    python -m benchmarks.gpu [MODEL_FOLDER ...] [--only lora qlora ...] [--dry-run]

Prints a markdown table with one row for each way and model; each row is measured in a process of
its own. Without folders: the models that are installed in DATA_DIR, and random weights in the
shapes of Qwen3 1.7B and Llama 3 8B, which are made for it (their speed and memory are those of the
real ones). Without a card nothing is run. --dry-run runs all rows once on the processor, in this
process, to see that they work; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.gpu_child import WAYS, Found, Setup, measure
from benchmarks.memory import LLAMA_50M, QWEN3_600M, STARTER, Case, make_model

ROOT = Path(__file__).resolve().parents[1]
DATA_DIR = Path(os.environ.get("DATA_DIR") or ROOT / "data")
MINUTES = 20  # for one row
LLAMA3_8B = LLAMA_50M | {
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128_256,
    "tie_word_embeddings": False,
}
QWEN3_1_7B = QWEN3_600M | {"hidden_size": 2048, "intermediate_size": 6144}
SHAPES = {"random Qwen3 1.7B": QWEN3_1_7B, "random Llama 3 8B": LLAMA3_8B}
HEADS = ("model", "way", "tokens/s", "peak, GB", "plan, GB", "")


def installed() -> list[Path]:
    """Language models in DATA_DIR."""
    return [
        config.parent
        for config in sorted((DATA_DIR / "models").glob("*/config.json"))
        if any("CausalLM" in name for name in json.loads(config.read_text())["architectures"])
    ]


def models(given: list[Path], scratch: Path) -> Iterator[tuple[str, Path]]:
    """Names and folders; random weights are made when it is their turn."""
    yield from ((folder.name, folder) for folder in given or installed())
    if not given and not (STARTER / "tokenizer.json").exists():
        print("random weights are left out: their tokenizer is the starter's, which is not here")
    elif not given:
        for name, shape in SHAPES.items():
            yield name, make_model(Case(name, shape, 1, 1), scratch / name, device="cuda")


def in_own_process(setup: Setup) -> Found:
    """Its memory is counted from zero; a row that fails does not end the others."""
    command = [sys.executable, "-m", "benchmarks.gpu_child", json.dumps(asdict(setup))]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60 * MINUTES
        )
    except subprocess.TimeoutExpired:
        return Found(note=f"failed: not done after {MINUTES} minutes")
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Found(note=f"failed: {last[:200]}")
    return Found(**json.loads(done.stdout.strip().splitlines()[-1]))


def line(model: str, setup: Setup, found: Found) -> str:
    speed = "" if found.tokens_per_second is None else f"{found.tokens_per_second:,.0f}"
    peak, plan = ("" if size is None else f"{size / 1e9:.2f}" for size in (found.peak, found.plan))
    note = found.note.replace("|", "/")
    return f"| {model} | {WAYS[setup.way][0]} | {speed} | {peak} | {plan} | {note} |"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--only", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args(arguments)
    if not asked.dry_run and not torch.cuda.is_available():
        print("not run: no CUDA card here")
        return
    if asked.dry_run and not asked.models:
        parser.error("--dry-run needs the folder of a small model")
    if not asked.dry_run:
        card = torch.cuda.get_device_properties(0)
        print(f"{card.name}, {card.total_memory / 1e9:.0f} GB, torch {torch.__version__}\n")
    print("| " + " | ".join(HEADS) + " |\n" + "|---" * len(HEADS) + "|", flush=True)
    with tempfile.TemporaryDirectory(prefix="finetune-gpu-") as scratch:
        for name, folder in models(asked.models, Path(scratch)):
            for way in asked.only:
                setup = Setup(way, str(folder.resolve()))
                if asked.dry_run:
                    setup = Setup(way, str(folder.resolve()), batch=2, steps=2, tokens=16)
                found = measure(setup) if asked.dry_run else in_own_process(setup)
                print(line(name, setup, found), flush=True)


if __name__ == "__main__":
    main()
