"""LoRA, QLoRA and full fine-tuning side by side: held-out loss, bytes, memory and time.

    python -m benchmarks.tuning MODEL_FOLDER [--ways lora qlora full] [--seeds 17 18] [--epochs 3]

Trains on the sample goal with the settings that the application chooses, the same examples in the
same steps for every way, each in a process of its own. The held-out loss is the mean over the
answers of the 60 test emails, which no training reads, as the engine computes it: in the format in
which the result is tested and served (QLoRA's on weights rounded to NF4, the others in bf16), on
the base model as it is, and of the merged model in bf16 as it is exported.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from benchmarks.methods import HIDDEN, RecordingChannel, mailbox
from benchmarks.parity import exported
from finetune_app.basemodels.automatic_settings import automatic_settings
from finetune_app.core.engine_protocol import NF4
from worker.channel import Job
from worker.engine.engine import Engine
from worker.template import load_tokenizer, tokenize_example
from worker.training.data import collate
from worker.training.loop import run
from worker.training.micro_batches import micro_batches
from worker.training.model_loader import load_base

CPU = torch.device("cpu")
WAYS = ("lora", "qlora", "full")
TOKEN_BUDGET, MAX_TOKENS = 2048, 1024


def one_run(model: Path, way: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train in one way and measure the result."""
    rows = mailbox().rows
    learned = [row for row in rows if row["split"] == "train"]
    settings = automatic_settings(len(learned), 256, HIDDEN, tuning=way).settings
    with tempfile.TemporaryDirectory() as place:
        version = Path(place) / "version.jsonl"
        version.write_text(
            "".join(json.dumps({"id": n} | one) + "\n" for n, one in enumerate(rows))
        )
        spec = settings | {
            "base_model": str(model),
            "version": str(version),
            "tuning": way,
            "epochs": epochs,
            "patience": 100,
            "validation_prompts": 0,
            "sample_prompts": 0,
            "number_format": "bf16",
            "seed": seed,
        }
        result = run(Job("training", Path(place) / "run", spec), RecordingChannel())
        adapter: Path | None = Path(place) / "run" / "adapter"
        tuned = model
        if way == "full":
            tuned, adapter = Path(place) / "run" / "model", None
        held_out = [row for row in rows if row["split"] == "test"]
        served = NF4 if way == "qlora" else "bf16"
        unpacked = Path(place) / "exported"
        export = exported(tuned, adapter, "merged", "bf16", unpacked, in_4bit=served == NF4)
        return {
            "served": held_out_loss(tuned, adapter, held_out, served),
            "unrounded": held_out_loss(tuned, adapter, held_out, "bf16"),
            "exported": held_out_loss(export, None, held_out, "bf16"),
            **{name: result[name] for name in ("steps", "best_step", "seconds", "validation_loss")},
            "peak": result["peak_memory_bytes"],
        }


def held_out_loss(
    model: Path, adapter: Path | None, rows: list[dict[str, Any]], number_format: str
) -> float:
    """Mean loss per learned token of the rows' answers, computed by the engine."""
    tokenizer = load_tokenizer(model)
    examples = [tokenize_example(tokenizer, row["messages"], MAX_TOKENS) for row in rows]
    total, count = 0.0, 0
    with Engine(model, number_format, may_merge=False) as engine:
        for part in micro_batches([one.padded_tokens for one in examples], TOKEN_BUDGET):
            batch = collate([examples[index] for index in part], CPU)
            logits = engine.logits(batch.input_ids, adapter)[batch.loss_mask].float()
            total += float(cross_entropy(logits, batch.labels, reduction="sum"))
            count += len(batch.labels)
    return total / count


def weight_bytes(model: Path, way: str) -> dict[str, int]:
    """Resident bytes of the base model's weights, by kind of layer."""
    found = {"linear": 0, "embedding": 0, "norms": 0}
    seen: set[int] = set()
    for module in load_base(model, "bf16", CPU, in_4bit=way == "qlora").modules():
        for weight in module.parameters(recurse=False):
            if id(weight) not in seen:  # a tied LM head is the embedding
                seen.add(id(weight))
                found[_kind(module)] += weight.nbytes + _scale_bytes(
                    getattr(weight, "quant_state", None)
                )
    return found


def _kind(module: Any) -> str:
    if isinstance(module, torch.nn.Embedding):
        return "embedding"
    return "linear" if isinstance(module, torch.nn.Linear) else "norms"


def _scale_bytes(state: Any) -> int:
    """The blocks' scales and the table of the 16 numbers; then the same of the scales."""
    if state is None:
        return 0
    tensors = [one for one in (state.absmax, state.code, state.offset) if one is not None]
    return sum(one.nbytes for one in tensors) + _scale_bytes(state.state2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[17])
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    model = options.model.resolve()

    print("| base weights, MB | linear layers | of LoRA's | embedding | norms |")
    print("|---|---|---|---|---|")
    plain = weight_bytes(model, "lora")
    for way in options.ways:
        found = weight_bytes(model, way)
        share = found["linear"] / plain["linear"]
        row = " | ".join(f"{found[kind] / 1e6:.1f}" for kind in ("embedding", "norms"))
        print(f"| {way} | {found['linear'] / 1e6:.1f} | {share:.0%} | {row} |", flush=True)

    test = [row for row in mailbox().rows if row["split"] == "test"]
    for number_format in ("bf16", NF4):
        loss = held_out_loss(model, None, test, number_format)
        print(f"\nHeld-out loss untrained, {number_format}: {loss:.3f}")
    print("\n| way | seed | served | exported | unrounded base | steps, kept | s | peak, GB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for seed in options.seeds:
        for way in options.ways:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                one = alone.submit(one_run, model, way, seed, options.epochs).result()
            losses = " | ".join(f"{one[kind]:.3f}" for kind in ("served", "exported", "unrounded"))
            print(
                f"| {way} | {seed} | {losses} | {one['steps']}, {one['best_step']} "
                f"| {one['seconds']:.0f} | {one['peak'] / 1e9:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
