"""One row of the CUDA table, in its own process: a way to train a model, or to serve it.

    python -m benchmarks.gpu_child SETUP (JSON)

Writes a JSON line; see `Found`. Everything but the calls of CUDA's own memory counter runs on a
processor, too.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from finetune_app.basemodels.memory_plan import CARD_TOKENS, LargestBatch, TrainingSetup
from finetune_app.core.vllm_installation import find_vllm
from worker.channel import Job
from worker.training.measure_speed import SpeedRecorder
from worker.training.memory import peak_memory_bytes

WARM_UP = 2  # first steps, which compile and allocate
SEED, RATE, RANK, ALPHA = 17, 3e-4, 16, 32
ANSWER_TOKENS, ASKED = 64, 4  # while vLLM serves: tokens of an answer, requests at once
WORD = " the"


def number_format() -> str:
    """bf16; without a card fp32, which is what the fake vLLM of a test reads."""
    return "bf16" if torch.cuda.is_available() else "fp32"


class NotRun(Exception):
    """Why a row cannot be measured here, in a few words."""


@dataclass(frozen=True)
class Setup:
    """tokens: about, of the longest of the rows, which are of different lengths."""

    way: str
    model: str
    batch: int = 8
    steps: int = 12
    tokens: int = 512

    @property
    def max_tokens(self) -> int:
        """Room for all of a row, whatever the tokenizer makes of it."""
        return 8 * self.tokens


@dataclass(frozen=True)
class Found:
    """tokens_per_second: of training, without padding. peak: bytes on the card (of the process,
    without one). plan: what memory_plan.py said before, without the framework; None where the row
    is not ours."""

    tokens_per_second: float | None = None
    peak: int | None = None
    plan: float | None = None
    note: str = ""


def conversations(setup: Setup) -> Iterator[list[dict[str, str]]]:
    """Prompt and answer, which is a quarter; lengths from a quarter of `tokens` up to all."""
    rng = random.Random(SEED)
    for number in range(setup.batch * setup.steps):
        words = rng.randint(setup.tokens // 4, setup.tokens)
        yield [  # that differ early: what all rows share is computed once
            {"role": "user", "content": f"{number}{WORD * (words * 3 // 4)}"},
            {"role": "assistant", "content": f"{words}{WORD * (words // 4)}"},
        ]


# --- ours -------------------------------------------------------------------------------------


def settings_of(setup: Setup, folder: Path) -> dict[str, Any]:
    """The spec of our training, its rows written to the folder."""
    version = folder / "version.jsonl"
    rows = [
        {"id": number, "split": "train", "messages": messages, "rejected": f"no{WORD * number}"}
        for number, messages in enumerate(conversations(setup))
    ]
    version.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tuning = setup.way if setup.way in ("qlora", "full") else "lora"
    return {
        "base_model": setup.model,
        "version": str(version),
        "method": "dpo" if setup.way == "dpo" else "supervised",
        "tuning": tuning,
        "epochs": 1,
        "batch_size": setup.batch,
        "rank": RANK,
        "alpha": ALPHA,
        "learning_rate": RATE / 30 if tuning == "full" else RATE,
        "number_format": number_format(),
        "replay_share": 0,
        "sample_prompts": 0,
        "validation_prompts": 0,
        "max_tokens": setup.max_tokens,
        "save_seconds": 3600.0,
        "processes": 1,
        "seed": SEED,
    }


def planned(settings: dict[str, Any]) -> float:
    """Bytes of the largest micro-batch, by the plan."""
    from worker.template import load_tokenizer
    from worker.training import data
    from worker.training.memory_plan import plan
    from worker.training.spec import TrainingSpec

    spec = TrainingSpec.from_json(settings)
    tokenizer = load_tokenizer(spec.base_model)
    read = data.read_pairs if spec.method == "dpo" else data.read_answers
    examples = sorted(read(spec, tokenizer, SpeedRecorder()).train, key=lambda e: e.padded_tokens)
    longest = examples[-1].padded_tokens
    largest = examples[-max(1, min(spec.batch_size, CARD_TOKENS // longest)) :]
    texts: list[Any] = [
        text
        for one in largest
        for text in ((one.chosen, one.rejected) if spec.method == "dpo" else (one,))
    ]
    batch = LargestBatch(
        len(texts),
        max(len(one.input_ids) for one in texts),
        sum(len(one.input_ids) for one in texts),
        sum(sum(one.loss_mask) for one in texts),
    )
    setup = TrainingSetup(
        spec.number_format, spec.rank, spec.tuning, on_card=torch.cuda.is_available()
    )
    return plan(spec.base_model, setup, batch).model


def train_ours(setup: Setup, folder: Path) -> Found:
    from worker.training.loop import run
    from worker.training.spec import TUNINGS

    if setup.way == "full" and "full" not in TUNINGS:
        raise NotRun("this version has no full fine-tuning")
    if setup.way == "qlora" and find_spec("bitsandbytes") is None:
        raise NotRun("bitsandbytes is not installed")
    settings = settings_of(setup, folder)
    plan = planned(settings)
    require_room(plan)
    recorder = SpeedRecorder()
    result = run(Job("training", folder / "run", settings), recorder)
    return Found(middle(recorder.speeds), result["peak_memory_bytes"], plan)


def require_room(plan: float) -> None:
    """Raises NotRun where the plan does not fit on the card."""
    if torch.cuda.is_available():
        room = torch.cuda.get_device_properties(0).total_memory
        if plan > room:
            raise NotRun(f"the plan is {plan / 1e9:.1f} GB, the card has {room / 1e9:.1f}")


def middle(speeds: list[float]) -> float:
    return statistics.median(speeds[WARM_UP:] or speeds)


# --- others -----------------------------------------------------------------------------------


def train_trl(setup: Setup, folder: Path) -> Found:
    """SFTTrainer at its best here: no recomputation, rows of a length together, or packed where
    flash-attn is installed, and Liger's kernels where they are."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import is_flash_attn_2_available

    if find_spec("trl") is None or find_spec("datasets") is None:
        raise NotRun("TRL is not installed: .venv/bin/pip install '.[benchmarks]'")
    on_card = torch.cuda.is_available()
    packed = is_flash_attn_2_available()
    liger = on_card and find_spec("liger_kernel") is not None
    model = AutoModelForCausalLM.from_pretrained(
        setup.model,
        dtype=torch.bfloat16,
        attn_implementation="flash_attention_2" if packed else "sdpa",
        device_map={"": torch.cuda.current_device()} if on_card else None,
    )
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=0.0,
        target_modules="all-linear",
    )
    options = {"packing": True} if packed else {"train_sampling_strategy": "group_by_length"}
    speed = sft(
        setup,
        folder,
        model,
        AutoTokenizer.from_pretrained(setup.model),
        options | {"use_liger_kernel": liger},
        {"peft_config": lora},
    )
    kernels = ["flash-attn, packed" if packed else "sdpa", *(["Liger"] if liger else [])]
    return Found(speed, peak_memory_bytes(), note=", ".join(kernels))


def train_unsloth(setup: Setup, folder: Path) -> Found:
    if find_spec("unsloth") is None:
        raise NotRun("Unsloth is not installed")
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=setup.model,
        max_seq_length=setup.max_tokens,
        dtype=torch.bfloat16,
        load_in_4bit=False,
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=0,
        bias="none",
        use_gradient_checkpointing=False,
        random_state=SEED,
    )
    speed = sft(setup, folder, model, tokenizer, {}, {})
    return Found(speed, peak_memory_bytes())


def sft(
    setup: Setup,
    folder: Path,
    model: Any,
    tokenizer: Any,
    options: dict[str, Any],
    more: dict[str, Any],
) -> float:
    """Tokens a second of TRL's trainer, without padding."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_list(
        [{"prompt": m[:-1], "completion": m[-1:]} for m in conversations(setup)]
    )
    on_card = torch.cuda.is_available()
    arguments = SFTConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=setup.batch,
        num_train_epochs=1,
        learning_rate=RATE,
        bf16=True,
        use_cpu=not on_card,
        gradient_checkpointing=False,
        max_length=setup.max_tokens,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=SEED,
        **options,
    )
    speeds: list[float] = []
    tokens = [0]

    class Clock(TrainerCallback):
        started = 0.0

        def on_step_begin(self, *rest: Any, **options: Any) -> None:
            self.started, tokens[0] = time.perf_counter(), 0

        def on_step_end(self, *rest: Any, **options: Any) -> None:
            if on_card:
                torch.cuda.synchronize()
            speeds.append(tokens[0] / (time.perf_counter() - self.started))

    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[Clock()],
        **more,
    )
    step = trainer.training_step

    def counted(model: Any, inputs: Any, *rest: Any) -> Any:
        mask = inputs.get("attention_mask")
        tokens[0] += int(inputs["input_ids"].numel() if mask is None else mask.sum())
        return step(model, inputs, *rest)

    trainer.training_step = counted
    trainer.train()
    return middle(speeds)


# --- vLLM -------------------------------------------------------------------------------------


@contextmanager
def served(setup: Setup, folder: Path) -> Iterator[Any]:
    """The model in vLLM."""
    from worker.engine.vllm.adapter_check import PeftReferences
    from worker.engine.vllm.engine import VllmEngine

    vllm = find_vllm()
    if vllm.program is None:
        raise NotRun(vllm.why_not or "there is no vLLM here: set VLLM to its program")
    with VllmEngine(
        Path(setup.model),
        number_format(),
        program=vllm.program,
        options=vllm.options,
        log_file=folder / "vllm.log",
        references=PeftReferences(),
    ) as engine:
        yield engine


def prove_adapter(setup: Setup, folder: Path) -> Found:
    """vLLM has to apply an adapter of ours as PEFT does, or this fails."""
    from worker.training.loop import run

    settings = settings_of(setup, folder)
    with served(setup, folder) as engine:  # first: it says soon whether there is one
        run(Job("training", folder / "run", settings), SpeedRecorder())
        engine.check_adapter(folder / "run" / "adapter")
    return Found(note="vLLM applies the adapter as PEFT does")


def train_while_serving(setup: Setup, folder: Path) -> Found:
    """Both on the same card; vLLM answers requests all the time."""
    from worker.engine.requests import GenerationRequest

    over, written = threading.Event(), [0]

    def ask(engine: Any) -> None:
        request = GenerationRequest(
            [{"role": "user", "content": "Count."}], max_new_tokens=ANSWER_TOKENS
        )
        while not over.is_set():
            answers = [engine.submit(request) for _ in range(ASKED)]
            written[0] += sum(answer.result().tokens for answer in answers)

    with served(setup, folder) as engine:
        asking = threading.Thread(target=ask, args=[engine])
        started = time.monotonic()
        asking.start()
        try:
            found = train_ours(setup, folder)
        finally:
            over.set()
            asking.join()
        speed = written[0] / (time.monotonic() - started)
    return Found(
        found.tokens_per_second, found.peak, found.plan, f"vLLM wrote {speed:.0f} tokens/s"
    )


WAYS: dict[str, tuple[str, Callable[[Setup, Path], Found]]] = {
    "lora": ("LoRA, bf16", train_ours),
    "qlora": ("QLoRA", train_ours),
    "dpo": ("DPO", train_ours),
    "full": ("full fine-tuning", train_ours),
    "trl": ("TRL, LoRA", train_trl),
    "unsloth": ("Unsloth, LoRA", train_unsloth),
    "vllm": ("adapter in vLLM", prove_adapter),
    "both": ("LoRA while vLLM serves", train_while_serving),
}


def measure(setup: Setup) -> Found:
    """One row. What keeps it from being measured here is its note."""
    with tempfile.TemporaryDirectory(prefix="finetune-gpu-") as scratch:
        try:
            return WAYS[setup.way][1](setup, Path(scratch))
        except NotRun as why:
            return Found(note=f"not run: {why}")


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Setup(**json.loads(sys.argv[1]))))), flush=True)
