"""Training speed: real tokens a second of our loop against TRL's SFTTrainer.

    python benchmarks/training.py --model FOLDER [--quick] [--threads 2] [--write]

Same 320 rows (English to bash), same adapter, learning rate, warm-up, seed and machine. Each
configuration lives in a process of its own; they take turns, a few steps each, so that whatever
else the machine does slows all of them alike. Real tokens are those of the rows: padding does
not count, and what several rows share counts for each of them. Step times run from the start of
one step to the start of the next, so data preparation and saving are in.

Besides wall time the table shows tokens per second of processor time: with one thread that is
what a quiet machine would give, even when this one is busy.
"""

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SAMPLES = Path(os.environ.get("FINETUNE_DATA_DIR_SAMPLES", ROOT.parent / "shared" / "data"))
ROWS, HELD_OUT, SEED, RATE = 320, 100, 17, 3e-4
PEAK = "bf16 matrix product"


@dataclass(frozen=True)
class Configuration:
    """One way to train. `ours`, or TRL with these options."""

    name: str
    batch: int = 8
    ours: bool = False
    checkpointing: bool = False
    grouped: bool = True
    attention: str = "sdpa"
    weights: str = "float32"


OURS = Configuration("Finetune, batch 8", ours=True)
DEFAULTS = Configuration("TRL defaults, batch 8", checkpointing=True, grouped=False)
QUICK = [
    Configuration("Finetune, batch 16", 16, ours=True),
    Configuration("TRL sdpa, batch 8"),
    Configuration("TRL eager, batch 8", attention="eager"),
    Configuration("TRL eager, batch 8, bfloat16", attention="eager", weights="bfloat16"),
    Configuration("TRL eager, batch 16, bfloat16", 16, attention="eager", weights="bfloat16"),
    Configuration("TRL eager, batch 32, bfloat16", 32, attention="eager", weights="bfloat16"),
]
MORE = [
    Configuration(f"TRL {attention}, batch {batch}, {weights}", batch, attention=attention,
                  weights=weights)
    for batch in (8, 16, 32)
    for attention in ("sdpa", "eager")
    for weights in ("float32", "bfloat16")
]  # fmt: skip


# --- the rows ---------------------------------------------------------------------------------


def conversations() -> tuple[list[list[dict[str, str]]], list[list[dict[str, str]]]]:
    """Practice and held-out conversations."""
    with (SAMPLES / "nl2bash.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    random.Random(SEED).shuffle(rows)
    found = [
        [
            {"role": "user", "content": row["request"]},
            {"role": "assistant", "content": row["command"]},
        ]
        for row in rows[: ROWS + HELD_OUT]
    ]
    return found[:ROWS], found[ROWS:]


# --- one configuration, in its own process ----------------------------------------------------


class Turns:
    """Waits to be told to go on before each step, and reports what the last one took."""

    def __init__(self) -> None:
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever libraries print must not mix with the reports
        self.start: tuple[float, float] | None = None
        self.tokens = 0

    def wait(self) -> bool:
        """Report the step that ended, wait; False when there is to be no further step."""
        if self.start:
            self.tell(
                tokens=self.tokens,
                wall=time.perf_counter() - self.start[0],
                cpu=time.process_time() - self.start[1],
            )
        else:
            self.tell(ready=True)
        go = sys.stdin.readline().strip() == "go"
        self.start, self.tokens = (time.perf_counter(), time.process_time()), 0
        return go

    def tell(self, **fields: Any) -> None:
        print(json.dumps(fields), file=self.out, flush=True)


def train_ours(configuration: Configuration, model: Path, folder: Path, turns: Turns) -> Path:
    """Our loop as the app runs it, saving included."""
    from worker.channel import Job
    from worker.training import run

    class Stepwise:
        ended = False

        def emit(self, event: str, **fields: Any) -> None:
            pass

        def check(self) -> None:
            pass

        def stopping(self) -> bool:
            self.ended = self.ended or not turns.wait()
            return self.ended

    practice, _ = conversations()
    version = folder / "version.jsonl"
    with version.open("w") as file:
        for number, messages in enumerate(practice):
            file.write(json.dumps({"id": number, "split": "train", "messages": messages}) + "\n")
    count_tokens(turns)
    spec = {
        "base_model": str(model),
        "version": str(version),
        "epochs": 1,
        "batch_size": configuration.batch,
        "learning_rate": RATE,
        "seed": SEED,
        "sample_prompts": 0,
    }
    result = run(Job("training", folder, spec), Stepwise())
    if result["stopped"]:
        raise SystemExit(0)
    turns.wait()
    return folder / "adapter"


def count_tokens(turns: Turns) -> None:
    """Have each step say how many real tokens it read."""
    from worker.training import loop

    learn = loop.learn

    def counted(*args: Any, **options: Any) -> Any:
        learned = learn(*args, **options)
        turns.tokens = learned.tokens
        return learned

    loop.learn = counted


def train_trl(configuration: Configuration, model: Path, folder: Path, turns: Turns) -> Path:
    """SFTTrainer on the same conversations, learning the answers only."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    practice, _ = conversations()
    rows = Dataset.from_list([{"prompt": m[:-1], "completion": m[-1:]} for m in practice])
    options: dict[str, Any] = {}
    if configuration.grouped:
        options["train_sampling_strategy"] = "group_by_length"
    if configuration.name != DEFAULTS.name:
        options |= {"gradient_checkpointing": configuration.checkpointing, "bf16": True}
    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=configuration.batch,
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        seed=SEED,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **options,
    )

    class Stepwise(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> Any:
            if not turns.wait():
                raise SystemExit(0)
            return control

    base = AutoModelForCausalLM.from_pretrained(
        model,
        dtype=getattr(torch, configuration.weights),
        attn_implementation=configuration.attention,
    )
    trainer = SFTTrainer(
        model=base,
        args=arguments,
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=16, lora_alpha=32, lora_dropout=0.0,
            target_modules="all-linear",
        ),
        callbacks=[Stepwise()],
    )  # fmt: skip
    step = trainer.training_step

    def counted(model: Any, inputs: Any, *rest: Any) -> Any:
        turns.tokens += int(inputs["attention_mask"].sum())
        return step(model, inputs, *rest)

    trainer.training_step = counted
    trainer.train()
    turns.wait()
    trainer.save_model(str(folder / "adapter"))
    return folder / "adapter"


def held_out_loss(model: Path, adapter: Path) -> float:
    """fp32 loss on the answers of rows that nobody trained on."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from worker.template import load_tokenizer
    from worker.training.data import Row, tokenise
    from worker.training.steps import AnswerLoss, mean_loss

    _, held = conversations()
    rows = [Row(number, "validation", messages) for number, messages in enumerate(held)]
    examples = tokenise(rows, load_tokenizer(model), 1024)
    whole = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(whole, adapter)
    return mean_loss(AnswerLoss(tuned.eval()), examples, 4096, torch.device("cpu"))


def peak(turns: Turns) -> None:
    """The processor's best: a large bf16 product, in "tokens" of 1e9 operations."""
    import torch

    a, b = (torch.randn(2048, 2048).to(torch.bfloat16) for _ in range(2))
    while turns.wait():
        for _ in range(10):
            torch.nn.functional.linear(a, b)
        turns.tokens = 10 * 2 * 2048**3 // 10**9


def child(configuration: Configuration, model: Path) -> None:
    turns = Turns()
    if configuration.name == PEAK:
        peak(turns)
        return
    with tempfile.TemporaryDirectory() as scratch:
        train = train_ours if configuration.ours else train_trl
        adapter = train(configuration, model, Path(scratch), turns)
        turns.tell(held_out=held_out_loss(model, adapter))


# --- taking turns -----------------------------------------------------------------------------


class Runner:
    """A configuration's process, and what its steps took."""

    def __init__(self, configuration: Configuration, model: Path, threads: int) -> None:
        self.configuration = configuration
        self.steps: list[dict[str, float]] = []
        self.held_out: float | None = None
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--model", str(model), "--child",
             json.dumps(asdict(configuration))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1",
                 "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        if self.read() is None:
            raise SystemExit(f"{configuration.name} did not start.")

    def read(self) -> dict[str, Any] | None:
        line = self.process.stdout.readline() if self.process.stdout else ""
        return json.loads(line) if line else None

    def advance(self, steps: int) -> None:
        """Some more steps; the first of all is warm-up and not counted."""
        for _ in range(steps):
            if self.held_out is not None or not self.process.stdin:
                return
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
            told = self.read()
            if told is None or "held_out" in told:
                self.held_out = told["held_out"] if told else None
                return
            self.steps.append(told)

    def end(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    def speed(self, clock: str) -> float:
        """Real tokens a second: all tokens over all time."""
        counted = self.steps[1:]
        return sum(s["tokens"] for s in counted) / max(1e-9, sum(s[clock] for s in counted))


def compare(
    configurations: list[Configuration], model: Path, threads: int, steps: int, at_once: int
) -> dict[str, dict[str, float]]:
    """Every configuration against ours. Ratios are taken among those that took turns."""
    results: dict[str, dict[str, float]] = {}
    for start in range(0, len(configurations), at_once):
        group = configurations[start : start + at_once]
        runners = [Runner(c, model, threads) for c in (*group, OURS, Configuration(PEAK))]
        for _ in range(steps):
            for runner in runners:
                runner.advance(1)
        ours = runners[-2]
        for runner in runners:
            name = runner.configuration.name
            results.setdefault(name, {
                "wall": runner.speed("wall"),
                "cpu": runner.speed("cpu"),
                "wall_ratio": ours.speed("wall") / runner.speed("wall"),
                "cpu_ratio": ours.speed("cpu") / runner.speed("cpu"),
            })  # fmt: skip
            runner.end()
            print(f"{name}: {results[name]}", file=sys.stderr, flush=True)
    return results


def quality(model: Path, threads: int) -> dict[str, float]:
    """Held-out loss after the same 320 rows once: ours and TRL's defaults."""
    losses = {}
    for configuration in (DEFAULTS, OURS):
        runner = Runner(configuration, model, threads)
        runner.advance(10_000)
        losses[configuration.name] = runner.held_out or float("nan")
        runner.end()
    return losses


# --- the table --------------------------------------------------------------------------------


def useful_operations(model: Path) -> float:
    """1e9 operations a real token needs: 4 for each block weight, 4 for each of the head's
    where something is learned (LoRA: forward, and backward to the inputs only)."""
    from worker.template import load_tokenizer
    from worker.training.data import Row, tokenise

    config = json.loads((model / "config.json").read_text())
    width, inner = config["hidden_size"], config["intermediate_size"]
    size = config["head_dim"]
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    block = width * size * (2 * heads + 2 * groups) + 3 * width * inner
    practice, _ = conversations()
    examples = tokenise([Row(0, "train", m) for m in practice], load_tokenizer(model), 1024)
    learned = statistics.fmean(sum(e.learned) for e in examples)
    share = learned / statistics.fmean(len(e.ids) for e in examples)
    head = width * config["vocab_size"]
    return 4 * (block * config["num_hidden_layers"] + share * head) / 1e9


def table(results: dict[str, dict[str, float]], losses: dict[str, float], need: float) -> str:
    best = results[PEAK]
    heads = (
        "configuration",
        "real tokens/s",
        "per processor second",
        "share of bf16 peak",
        "ours, batch 8, is faster by (wall, processor)",
        "held-out loss",
    )
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, found in results.items():
        if name == PEAK:
            continue
        share = found["cpu"] * need / best["cpu"]
        loss = f"{losses[name]:.3f}" if name in losses else ""
        lines.append(
            f"| {name} | {found['wall']:.0f} | {found['cpu']:.0f} | {share:.0%} "
            f"| {found['wall_ratio']:.2f}, {found['cpu_ratio']:.2f} | {loss} |"
        )
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", type=Path, required=True, help="the starter model's folder")
    options.add_argument("--quick", action="store_true", help="a few configurations only")
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options.add_argument("--steps", type=int, default=9, help="steps a configuration takes")
    options.add_argument("--at-once", type=int, default=3, help="how many take turns together")
    options.add_argument("--quality", action="store_true", help="compare held-out loss as well")
    options.add_argument("--write", type=Path, help="write the table to this file")
    options.add_argument("--child", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        return child(Configuration(**json.loads(given.child)), given.model)
    if not (SAMPLES / "nl2bash.csv").exists():
        raise SystemExit(f"No sample rows in {SAMPLES}: set FINETUNE_DATA_DIR_SAMPLES.")
    losses = quality(given.model, given.threads) if given.quality else {}
    configurations = [DEFAULTS, *(QUICK if given.quick else [QUICK[0], *MORE])]
    results = compare(configurations, given.model, given.threads, given.steps, given.at_once)
    need = useful_operations(given.model)
    text = table(results, losses, need)
    text += (
        f"\n\nThreads: {given.threads}. bf16 peak (2048 x 2048 product): "
        f"{results[PEAK]['wall']:,.0f} GFLOP/s wall, {results[PEAK]['cpu']:,.0f} per processor "
        f"second; a real token needs {need:.2f} GFLOP."
    )
    print(text)
    if given.write:
        given.write.write_text(f"# Training speed\n\n{__doc__.split(chr(10), 3)[3]}\n{text}\n")
    return None


if __name__ == "__main__":
    main()
