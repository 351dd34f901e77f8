"""One configuration of the training benchmark, in its own process: our loop, TRL's, or the peak.

    python -m benchmarks.training_child MODEL CONFIGURATION

Does one step for each line "go" on its input, and writes its duration as a JSON line.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.training_rows import SEED, conversations
from finetune_app.core.chat_messages import without_weights

RATE = 3e-4
PEAK = "bf16 matrix product"


@dataclass(frozen=True)
class Configuration:
    """How to train: with our loop, or TRL with these options."""

    name: str
    batch: int = 8
    ours: bool = False
    checkpointing: bool = False
    grouped: bool = True
    attention: str = "sdpa"
    weights: str = "float32"
    replay: float = 0.0
    """Share of replay examples, whose tokens are not counted; the app's default is 0.125."""
    plain: bool = False
    """TRL with its default options."""
    shape: str = "short"
    """Of the rows; see training_rows.py."""


# --- one configuration, in its own process ----------------------------------------------------


class StepGate:
    """Waits for a line before each step, and reports the duration of the last one."""

    def __init__(self) -> None:
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print must not mix with the reports
        self.start: tuple[float, float] | None = None
        self.tokens = self.computed = self.learned = 0

    def wait(self) -> bool:
        """Report the step that ended, wait; False when there is to be no further step."""
        if self.start:
            self.tell(
                tokens=self.tokens,
                computed=self.computed,
                learned=self.learned,
                wall=time.perf_counter() - self.start[0],
                cpu=time.process_time() - self.start[1],
            )
        else:
            self.tell(ready=True)
        go = sys.stdin.readline().strip() == "go"
        self.start = time.perf_counter(), time.process_time()
        self.tokens = self.computed = self.learned = 0
        return go

    def tell(self, **fields: Any) -> None:
        print(json.dumps(fields), file=self.out, flush=True)


def train_ours(configuration: Configuration, model: Path, folder: Path, turns: StepGate) -> Path:
    """Our loop as the app runs it, saving included."""
    from worker.channel import Job
    from worker.thread_waits import follow_load
    from worker.training import run

    follow_load()  # as a job's process does

    class StepChannel:
        """Takes a turn for each step; reading and loading before the first step take none."""

        ended = learning = False

        def emit(self, event: str, **fields: Any) -> None:
            self.learning = self.learning or fields.get("phase") == "training"

        def check(self) -> None:
            pass

        def stopping(self) -> bool:
            if self.learning:
                self.ended = self.ended or not turns.wait()
            return self.ended

    train, _ = conversations(configuration.shape)
    version = folder / "version.jsonl"
    with version.open("w") as file:
        for number, messages in enumerate(train):
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
        "replay_share": configuration.replay,
    }
    result = run(Job("training", folder, spec), StepChannel())
    if result["stopped"]:
        raise SystemExit(0)
    turns.wait()
    return folder / "adapter"


def count_tokens(turns: StepGate) -> None:
    """Report the tokens of each step, without padding; and those of its forward pass with a
    gradient, where what rows share counts once, and replay examples count."""
    import torch

    from worker.training import llama_loss, loop

    training_step, pack = loop.training_step, llama_loss.pack

    def counted(*args: Any, **options: Any) -> Any:
        step = training_step(*args, **options)
        turns.tokens = step.tokens
        return step

    def packed(*args: Any) -> Any:
        batch = pack(*args)
        if torch.is_grad_enabled():
            turns.computed += len(batch.input_ids)
            turns.learned += len(batch.learned)
        return batch

    loop.training_step, llama_loss.pack = counted, packed


def train_trl(configuration: Configuration, model: Path, folder: Path, turns: StepGate) -> Path:
    """SFTTrainer on the same conversations, learning the answers only."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    train, _ = conversations(configuration.shape)
    plain = [without_weights(messages) for messages in train]
    rows = Dataset.from_list([{"prompt": m[:-1], "completion": m[-1:]} for m in plain])
    options: dict[str, Any] = {}
    if configuration.grouped:
        options["train_sampling_strategy"] = "group_by_length"
    if not configuration.plain:
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
            task_type="CAUSAL_LM",
            r=16,
            lora_alpha=32,
            lora_dropout=0.0,
            target_modules="all-linear",
        ),
        callbacks=[Stepwise()],
    )
    step = trainer.training_step

    def counted(model: Any, inputs: Any, *rest: Any) -> Any:
        turns.tokens += int(inputs["attention_mask"].sum())
        turns.computed = turns.tokens
        turns.learned += int((inputs["labels"] >= 0).sum())
        return step(model, inputs, *rest)

    trainer.training_step = counted
    trainer.train()
    turns.wait()
    trainer.save_model(str(folder / "adapter"))
    return folder / "adapter"


def held_out_loss(model: Path, adapter: Path, shape: str) -> float:
    """fp32 loss on the answers of rows that were not trained on."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from worker.template import load_tokenizer, tokenize_example
    from worker.training.losses import CausalLMLoss
    from worker.training.objectives import AnswerObjective, mean_loss

    _, held = conversations(shape)
    tokenizer = load_tokenizer(model)
    examples = [tokenize_example(tokenizer, messages, 1024) for messages in held]
    whole = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(whole, adapter)
    objective = AnswerObjective(CausalLMLoss(tuned.eval()))
    found = mean_loss(objective, examples, 4096, torch.device("cpu")).loss
    assert found is not None
    return found


def peak(turns: StepGate) -> None:
    """The processor's peak: a large bf16 product, in "tokens" of 1e9 operations."""
    import torch

    a, b = (torch.randn(2048, 2048).to(torch.bfloat16) for _ in range(2))
    while turns.wait():
        for _ in range(10):
            torch.nn.functional.linear(a, b)
        turns.tokens = 10 * 2 * 2048**3 // 10**9


def child(configuration: Configuration, model: Path) -> None:
    """Train as long as there are turns; after the last step, report the held-out loss."""
    turns = StepGate()
    if configuration.name == PEAK:
        peak(turns)
        return
    with tempfile.TemporaryDirectory() as scratch:
        train = train_ours if configuration.ours else train_trl
        adapter = train(configuration, model, Path(scratch), turns)
        turns.tell(held_out=held_out_loss(model, adapter, configuration.shape))


if __name__ == "__main__":
    child(Configuration(**json.loads(sys.argv[2])), Path(sys.argv[1]))
