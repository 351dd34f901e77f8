"""Training speed: real tokens a second of our loop against TRL's SFTTrainer.

    python benchmarks/training.py --model FOLDER [--shape short] [--quick] [--alone] [--threads 2]

Same 320 rows (English to bash, in one of the shapes of training_rows.py), same adapter, learning
rate, warm-up, seed and machine, and no replay examples except where it is said; those the base
model has read before, as after the app has measured the machine. Each configuration
lives in a process of its own; they take turns, a few steps each, so that whatever else the machine
does slows all of them alike. A process that waits keeps its memory, though, and on some virtual
machines that slows those that ask for much of it (TRL): with --alone there is one process at a
time, in rounds, each with all its steps.

Real tokens are those of the rows: padding does not count, and what several rows share counts for
each of them. The share of the peak counts what was computed, so a shared beginning once. Step times
run from the start of one step to the start of the next, so data preparation and saving are in.

Besides wall time the table shows tokens per second of processor time: with one thread that is
what a quiet machine would give, even when this one is busy.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.training_child import PEAK, Configuration  # noqa: E402
from benchmarks.training_rows import SAMPLES, SHAPES, conversations  # noqa: E402
from finetune_app.core.machine import training_environment  # noqa: E402

OURS = Configuration("Finetune, batch 8", ours=True)
OURS_LARGER = Configuration("Finetune, batch 16", 16, ours=True)
WITH_REPLAY = Configuration("Finetune, batch 8, with replay", ours=True, replay=0.125)
DEFAULTS = Configuration("TRL defaults, batch 8", checkpointing=True, grouped=False, plain=True)
QUICK = [
    Configuration("TRL sdpa, batch 8"),
    Configuration("TRL eager, batch 8", attention="eager"),
    Configuration("TRL eager, batch 8, bfloat16", attention="eager", weights="bfloat16"),
    Configuration("TRL eager, batch 16, bfloat16", 16, attention="eager", weights="bfloat16"),
    Configuration("TRL eager, batch 32, bfloat16", 32, attention="eager", weights="bfloat16"),
]
STEPS_IN_TURN = 3  # within the first, our threads still wait as beside another program
ROUNDS = 3  # with --alone
MEASURED_ROWS = 32  # what the app's own measurement learns does not matter here
MORE = [
    Configuration(
        f"TRL {attention}, batch {batch}, {weights}", batch, attention=attention, weights=weights
    )
    for batch in (8, 16, 32)
    for attention in ("sdpa", "eager")
    for weights in ("float32", "bfloat16")
]


def environment(threads: int) -> dict[str, str]:
    """Of a process that trains."""
    own = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    return training_environment() | os.environ | own


def read_everyday_rows(model: Path, shape: str, threads: int) -> None:
    """As the app does while it measures the machine, so that no training has to."""
    train, _ = conversations(shape)
    subprocess.run(
        [sys.executable, "-m", "worker.training.measure_speed", str(model)],
        input=json.dumps(train[:MEASURED_ROWS]),
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=environment(threads),
        check=True,
    )


# --- taking turns -----------------------------------------------------------------------------


class Runner:
    """A configuration's process, and what its steps took."""

    def __init__(self, configuration: Configuration, model: Path, threads: int) -> None:
        self.configuration = configuration
        self.steps: list[dict[str, float]] = []
        self.held_out: float | None = None
        self.command = [
            sys.executable,
            "-m",
            "benchmarks.training_child",
            str(model),
            json.dumps(asdict(configuration)),
        ]
        self.threads = threads

    def start(self) -> None:
        self.warm = False
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=environment(self.threads),
        )
        if self.read() is None:
            raise SystemExit(f"{self.configuration.name} did not start.")

    def read(self) -> dict[str, Any] | None:
        line = self.process.stdout.readline() if self.process.stdout else ""
        return json.loads(line) if line else None

    def advance(self, steps: int) -> None:
        """Some more steps; the first of a process is warm-up and not counted."""
        for _ in range(steps):
            if self.held_out is not None or not self.process.stdin:
                return
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
            report = self.read()
            if report is None or "held_out" in report:
                self.held_out = report["held_out"] if report else None
                return
            if self.warm:
                self.steps.append(report)
            self.warm = True

    def end(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    def speed(self, clock: str, what: str = "tokens") -> float:
        """Real tokens a second, or others: all tokens over all time."""
        return sum(s[what] for s in self.steps) / max(1e-9, sum(s[clock] for s in self.steps))


def in_turn(runners: list[Runner], steps: int) -> None:
    """All at once, a few steps each."""
    for runner in runners:
        runner.start()
    for _ in range(-(-steps // STEPS_IN_TURN)):
        for runner in runners:
            runner.advance(STEPS_IN_TURN)
    for runner in runners:
        runner.end()


def one_by_one(runners: list[Runner], steps: int) -> None:
    """One process at a time, in rounds, so that a slow minute does not meet one alone."""
    for _ in range(ROUNDS):
        for runner in runners:
            runner.start()
            runner.advance(steps)
            runner.end()


def compare(
    configurations: list[Configuration],
    model: Path,
    shape: str,
    threads: int,
    steps: int,
    at_once: int,
    measure: Callable[[list[Runner], int], None],
) -> dict[str, dict[str, float]]:
    """Every configuration against ours, at batch 8 and at 16: the app's default, and its best here.
    Ratios are taken among those that took turns."""
    results: dict[str, dict[str, float]] = {}
    for start in range(0, len(configurations), at_once):
        group = configurations[start : start + at_once]
        always = (
            replace(OURS, shape=shape),
            replace(OURS_LARGER, shape=shape),
            Configuration(PEAK),
        )
        runners = [Runner(c, model, threads) for c in (*group, *always)]
        measure(runners, steps)
        ours, larger = runners[-3:-1]
        for runner in runners:
            name = runner.configuration.name
            results.setdefault(
                name,
                {
                    "wall": runner.speed("wall"),
                    "cpu": runner.speed("cpu"),
                    "computed": runner.speed("cpu", "computed"),
                    "learned": runner.speed("cpu", "learned"),
                    "wall_ratio": ours.speed("wall") / runner.speed("wall"),
                    "cpu_ratio": ours.speed("cpu") / runner.speed("cpu"),
                    "wall_best": larger.speed("wall") / runner.speed("wall"),
                    "cpu_best": larger.speed("cpu") / runner.speed("cpu"),
                },
            )
            print(f"{name}: {results[name]}", file=sys.stderr, flush=True)
    return results


def quality(model: Path, shape: str, threads: int) -> dict[str, float]:
    """Held-out loss after the same 320 rows once: ours and TRL's defaults."""
    losses = {}
    for configuration in (DEFAULTS, OURS, WITH_REPLAY):
        runner = Runner(replace(configuration, shape=shape), model, threads)
        runner.start()
        runner.advance(10_000)
        losses[configuration.name] = runner.held_out or float("nan")
        runner.end()
    return losses


# --- the table --------------------------------------------------------------------------------


def operations(model: Path) -> tuple[float, float]:
    """1e9 operations that a token needs, and one that is learned in the head: 4 for each weight
    (LoRA: forward, and backward to the inputs only)."""
    config = json.loads((model / "config.json").read_text())
    width, inner = config["hidden_size"], config["intermediate_size"]
    size = config["head_dim"]
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    block = width * size * (2 * heads + 2 * groups) + 3 * width * inner
    head = width * config["vocab_size"]
    return 4 * block * config["num_hidden_layers"] / 1e9, 4 * head / 1e9


def table(results: dict[str, dict[str, float]], losses: dict[str, float], model: Path) -> str:
    peak, (token, learned) = results[PEAK]["cpu"], operations(model)
    heads = (
        "configuration",
        "real tokens/s",
        "per processor second",
        "share of bf16 peak",
        "ours, batch 8, is faster by (wall, processor)",
        "ours, batch 16",
        "held-out loss",
    )
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, found in results.items():
        if name == PEAK:
            continue
        share = (found["computed"] * token + found["learned"] * learned) / peak
        loss = f"{losses[name]:.3f}" if name in losses else ""
        lines.append(
            f"| {name} | {found['wall']:.0f} | {found['cpu']:.0f} | {share:.0%} "
            f"| {found['wall_ratio']:.2f}, {found['cpu_ratio']:.2f} "
            f"| {found['wall_best']:.2f}, {found['cpu_best']:.2f} | {loss} |"
        )
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", type=Path, required=True, help="the starter model's folder")
    options.add_argument("--quick", action="store_true", help="a few configurations only")
    options.add_argument("--shape", choices=SHAPES, default="short", help="of the rows")
    options.add_argument("--most", type=int, help="no more than the first so many configurations")
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options.add_argument("--steps", type=int, default=9, help="steps a configuration takes")
    options.add_argument("--at-once", type=int, default=3, help="how many take turns together")
    options.add_argument("--alone", action="store_true", help="one process at a time")
    options.add_argument("--quality", action="store_true", help="compare held-out loss as well")
    options.add_argument("--write", type=Path, help="write the table to this file")
    given = options.parse_args()
    given.model = given.model.resolve()  # the children run in another folder
    if not (SAMPLES / "nl2bash.csv").exists():
        raise SystemExit(f"No sample rows in {SAMPLES}: set FINETUNE_DATA_DIR_SAMPLES.")
    read_everyday_rows(given.model, given.shape, given.threads)
    losses = quality(given.model, given.shape, given.threads) if given.quality else {}
    chosen = [DEFAULTS, WITH_REPLAY, *(QUICK if given.quick else MORE)]
    configurations = [replace(one, shape=given.shape) for one in chosen[: given.most]]
    measure = one_by_one if given.alone else in_turn
    results = compare(
        configurations,
        given.model,
        given.shape,
        given.threads,
        given.steps,
        given.at_once,
        measure,
    )
    text = table(results, losses, given.model)
    text += (
        f"\n\nThreads: {given.threads}. bf16 peak (2048 x 2048 product): "
        f"{results[PEAK]['wall']:,.0f} GFLOP/s wall, {results[PEAK]['cpu']:,.0f} per processor "
        "second."
    )
    print(text)
    if given.write:
        given.write.write_text(f"# Training speed\n\n{__doc__.split(chr(10), 3)[3]}\n{text}\n")


if __name__ == "__main__":
    main()
