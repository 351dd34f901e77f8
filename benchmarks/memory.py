"""Is the memory of a training what the plan says?

    python -m benchmarks.memory [--only NAME ...]

Trains models of several sizes for two steps, each in a fresh process: the starter, and random
weights in the shapes of others. Prints the peak of the process (resident memory, less what it had
before the model was loaded) beside the plan of finetune_app/basemodels/memory_plan.py. Loading and
training have peaks of their own. For larger models only the plan is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from finetune_app.basemodels.catalogue import catalogue
from finetune_app.basemodels.memory_plan import (
    LargestBatch,
    TrainingSetup,
    memory_plan,
    token_budget,
)
from finetune_app.basemodels.training_work import LongestRows
from finetune_app.core.machine import training_environment

ROOT = Path(__file__).resolve().parents[1]
STARTER = Path(os.environ.get("FINETUNE_STARTER") or ROOT / ".cache/models/smollm2-135m-instruct")
GB = 1e9
WORD = " the"


@dataclass(frozen=True)
class Case:
    """One training. shape: fields of a config, empty for the starter itself. tokens: about, of each
    of the `rows` rows of a step."""

    name: str
    shape: dict[str, Any]
    rows: int
    tokens: int
    number_format: str = "bf16"
    gradient_checkpointing: str = ""
    replay: float = 0.0


LLAMA_50M = {
    "model_type": "llama",
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 14,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 49_152,
    "tie_word_embeddings": True,
}
SMOLLM_360M = LLAMA_50M | {
    "hidden_size": 960,
    "intermediate_size": 2560,
    "num_hidden_layers": 32,
    "num_attention_heads": 15,
    "num_key_value_heads": 5,
}
QWEN3_600M = LLAMA_50M | {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
}
LLAMA_1B = LLAMA_50M | {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
}
GEMMA3_270M = LLAMA_50M | {
    "model_type": "gemma3_text",
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "vocab_size": 262_144,
}
CASES = [
    Case("Llama 0.05B", LLAMA_50M, 8, 64),
    Case("Llama 0.05B", LLAMA_50M, 8, 256, "fp32"),
    Case("starter", {}, 8, 80),
    Case("starter", {}, 8, 80, replay=0.125),
    Case("starter", {}, 8, 80, "fp32"),
    Case("starter", {}, 8, 256),
    Case("starter", {}, 4, 1000),
    Case("SmolLM2 0.36B", SMOLLM_360M, 8, 80),
    Case("SmolLM2 0.36B", SMOLLM_360M, 8, 256),
    Case("SmolLM2 0.36B", SMOLLM_360M, 8, 80, "fp32"),
    Case("Gemma 3 0.27B", GEMMA3_270M, 8, 80),
    Case("Qwen3 0.6B", QWEN3_600M, 8, 80),
    Case("Qwen3 0.6B", QWEN3_600M, 8, 256),
    Case("Qwen3 0.6B", QWEN3_600M, 4, 80, "fp32"),
    Case("Llama 1B", LLAMA_1B, 8, 80),
    Case("Llama 1B", LLAMA_1B, 4, 512),
]


# --- one training, in its own process ---------------------------------------------------------


class PeakChannel:
    """Resets the peak of this process when the first step begins."""

    def __init__(self) -> None:
        self.loading = 0.0
        self.warnings: list[str] = []

    def emit(self, event: str, **fields: Any) -> None:
        if event == "phase" and fields.get("phase") == "training":
            self.loading = peak_bytes()
            Path("/proc/self/clear_refs").write_text("5")
        if event == "warning":
            self.warnings.append(str(fields["text"]))

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        """There is no lease."""


def peak_bytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def child(case: Case) -> dict[str, Any]:
    """Train two steps; bytes of the plan and of the process."""
    from worker.channel import Job
    from worker.engine.decoder import make_decoder  # noqa: F401  loaded before the baseline
    from worker.template import load_tokenizer
    from worker.training import data
    from worker.training.loop import run
    from worker.training.memory_plan import plan
    from worker.training.spec import TrainingSpec

    with tempfile.TemporaryDirectory(prefix="finetune-memory-") as scratch:
        folder = Path(scratch)
        model = make_model(case, folder / "model") if case.shape else STARTER
        settings = make_spec(case, model, folder / "version.jsonl")
        channel = PeakChannel()
        spec = TrainingSpec.from_json(settings)
        examples = data.read_answers(spec, load_tokenizer(model), channel).train
        lengths = sorted((len(one.input_ids) for one in examples), reverse=True)
        learned = sum(examples[0].loss_mask)
        fitting = token_budget(case.number_format, on_card=False) // lengths[0]
        rows = max(1, min(case.rows, fitting))  # at once
        planned = plan(
            model,
            TrainingSetup(
                case.number_format,
                spec.rank,
                gradient_checkpointing=case.gradient_checkpointing == "on",
                replay_rows=-(-case.rows * case.replay // (1 - case.replay)) if case.replay else 0,
            ),
            LargestBatch(rows, lengths[0], sum(lengths[:rows]), rows * learned),
        )
        before = psutil.Process().memory_info().rss
        Path("/proc/self/clear_refs").write_text("5")
        run(Job("training", folder / "run", settings), channel)
    return {
        **asdict(planned),
        "planned": planned.model,
        "overhead": planned.overhead,
        "tokens": lengths[0],
        "before": before,
        "measured": peak_bytes() - before,
        "loading": channel.loading - before,
        "warnings": channel.warnings,
    }


def make_spec(case: Case, model: Path, version: Path) -> dict[str, Any]:
    """Two steps of rows that all have about the same length; a quarter of it is the answer."""
    answer = case.tokens // 4
    prompt = WORD * (case.tokens - answer - 40)
    rows = [
        json.dumps(
            {
                "id": number,
                "split": "train",
                "messages": [  # that differ early: what all rows share is computed once
                    {"role": "user", "content": f"{number}{prompt}"},
                    {"role": "assistant", "content": WORD * answer},
                ],
            }
        )
        for number in range(10, 10 + 2 * case.rows)
    ]
    version.write_text("\n".join(rows) + "\n")
    settings = {
        "base_model": str(model),
        "version": str(version),
        "epochs": 1,
        "batch_size": case.rows,
        "number_format": case.number_format,
        "replay_share": case.replay,
        "sample_prompts": 0,
        "max_tokens": 4096,
    }
    if case.gradient_checkpointing:
        settings["gradient_checkpointing"] = case.gradient_checkpointing
    return settings


def make_model(case: Case, folder: Path, device: str = "cpu") -> Path:
    """Random weights in this shape, made by a process of its own, with the starter's tokenizer."""
    code = (
        "import json, sys, torch\n"
        "from transformers import AutoConfig, AutoModelForCausalLM\n"
        "shape = json.loads(sys.argv[1])\n"
        "config = AutoConfig.for_model(shape.pop('model_type'), **shape)\n"
        "config.max_position_embeddings = 8192\n"
        "with torch.device(sys.argv[3]):\n"
        "    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)\n"
        "model.save_pretrained(sys.argv[2])\n"
    )
    arguments = [json.dumps(case.shape), str(folder), device]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    for file in [*STARTER.glob("tokenizer*"), *STARTER.glob("chat_template*")]:
        shutil.copy(file, folder / file.name)
    return folder


# --- the table --------------------------------------------------------------------------------


def measure(case: Case) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.memory", "--child", json.dumps(asdict(case))]
    environment = training_environment() | os.environ
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{case}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


HEADS = ("model", "rows x tokens", "format", "weights", "adapter, optimizer", "activations")


def line(case: Case, found: dict[str, Any]) -> str:
    name = case.name + (", checkpointing" if case.gradient_checkpointing == "on" else "")
    name += ", everyday rows" if case.replay else ""
    parts = [
        found["weights"],
        found["adapter"] + found["optimizer"],
        found["activations"],
        max(found["logits"], found["working"]),
        found["overhead"],
        found["planned"],
        found["measured"],
    ]
    numbers = " | ".join(f"{part / GB:.2f}" for part in parts)
    off = found["planned"] / found["measured"] - 1
    return (
        f"| {name} | {case.rows} x {found['tokens']} | {case.number_format} | {numbers} "
        f"| {off:+.0%} | {found['loading'] / GB:.2f} |"
    )


def unmeasured() -> str:
    """The plan of every model of the catalogue, for eight rows of 256 tokens."""
    longest = LongestRows((256,) * 8, learned=64)
    columns = {
        "CPU, bf16": TrainingSetup("bf16"),
        "CPU, fp32": TrainingSetup("fp32"),
        "card, LoRA": TrainingSetup("bf16", on_card=True),
        "card, LoRA, checkpointing": TrainingSetup(
            "bf16", on_card=True, gradient_checkpointing=True
        ),
        "card, 4 bits, checkpointing": TrainingSetup(
            "bf16", on_card=True, gradient_checkpointing=True, tuning="qlora"
        ),
        "card, full, checkpointing": TrainingSetup(
            "bf16", on_card=True, gradient_checkpointing=True, tuning="full"
        ),
    }
    lines = [f"| model | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for entry in catalogue():
        needed = []
        for setup in columns.values():
            batch = longest.at_once(token_budget(setup.number_format, setup.on_card))
            needed.append(f"{memory_plan(entry.shape, setup, batch).total / GB:.1f}")
        lines.append(f"| {entry.name} | {' | '.join(needed)} |")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="*", default=[], help="cases whose name contains this")
    options.add_argument("--child", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        print(json.dumps(child(Case(**json.loads(given.child)))), flush=True)
        return
    more = ("logits or one layer", "overhead", "plan", "measured", "off by", "peak while loading")
    print("| " + " | ".join((*HEADS, *more)) + " |\n" + "|---" * (len(HEADS) + len(more)) + "|")
    for case in CASES:
        if not given.only or any(part in case.name for part in given.only):
            print(line(case, measure(case)), flush=True)
    print("\n" + unmeasured())


if __name__ == "__main__":
    main()
