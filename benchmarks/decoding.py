"""How fast an evaluation is answered: our engine against transformers' own `generate`.

    python -m benchmarks.decoding MODEL_FOLDER [--format bf16] [--prompts 60] [--alone 10]

Sixty prompts, each answered by the base model and by an adapter, greedy, 48 new tokens at most.
Prints tokens a second and the ratio to `generate` with PEFT, one prompt at a time, which is what
a script without an engine does. The same prompts, adapter, number format and machine for all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from worker.engine.engine import Engine
from worker.engine.model_loader import DTYPES
from worker.engine.requests import GenerationRequest
from worker.evaluation.general_check.perplexity import TEXTS
from worker.template import load_tokenizer, prompt_token_ids, stop_token_ids

NEW_TOKENS = 48
BATCH = 32


def prompts(count: int) -> list[str]:
    """Sentences of the general text, each to be said more simply."""
    text = " ".join(path.read_text("utf-8") for path in TEXTS)
    sentences = [s.strip() for s in text.split(". ") if 40 < len(s) < 240]
    return [f"Say this more simply: {sentence}." for sentence in sentences[:count]]


def make_adapter(model_folder: Path, folder: Path) -> None:
    """An untrained LoRA adapter of the usual size (rank 16, all linear layers)."""
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    settings = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, settings).save_pretrained(folder)


class Plain:
    """transformers with PEFT, as its documentation shows it."""

    def __init__(self, folder: Path, adapter: Path, number_format: str) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.tokenizer.padding_side = "left"
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[number_format])
        self.model: Any = PeftModel.from_pretrained(model, adapter, adapter_name="tuned").eval()
        self.ends = sorted(stop_token_ids(self.tokenizer))

    def answer(self, questions: Sequence[str], names: Sequence[str]) -> int:
        """Answer one batch; returns the tokens written, padding left out."""
        ids = [
            prompt_token_ids(self.tokenizer, [{"role": "user", "content": q}]) for q in questions
        ]
        return self.answer_ids(ids, names)

    def answer_ids(self, ids: list[list[int]], names: Sequence[str]) -> int:
        """The same for prompts as tokens."""
        batch = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        out = self.model.generate(
            **batch,
            adapter_names=list(names),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=self.ends,
        )
        written = out[:, batch["input_ids"].shape[1] :].tolist()
        return sum(self._length(row) for row in written)

    def _length(self, row: list[int]) -> int:
        return next((i + 1 for i, token in enumerate(row) if token in self.ends), len(row))


def rate(work: Callable[[], int]) -> float:
    """Tokens a second of `work`, which returns how many it wrote."""
    started = time.perf_counter()
    tokens = work()
    return tokens / (time.perf_counter() - started)


def reference_rates(
    options: argparse.Namespace, adapter: Path, pairs: list[tuple[str, str]]
) -> dict[str, float]:
    """Tokens a second of `generate`, alone and in batches; its model is freed afterwards."""
    plain = Plain(options.model, adapter, options.format)
    plain.answer([pairs[0][0]], ["tuned"])  # warm up
    alone = pairs[: 2 * options.alone]
    batches = [pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH)]
    return {
        f"`generate`, one prompt at a time ({len(alone)} answers)": rate(
            lambda: sum(plain.answer([question], [name]) for question, name in alone)
        ),
        f"`generate`, {BATCH} rows a batch, left-padded": rate(
            lambda: sum(plain.answer(*zip(*batch, strict=True)) for batch in batches)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--format", default="bf16", choices=sorted(DTYPES))
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--alone", type=int, default=10, help="prompts answered one at a time")
    options = parser.parse_args()
    questions = prompts(options.prompts)
    pairs = [(q, name) for q in questions for name in ("__base__", "tuned")]
    with tempfile.TemporaryDirectory() as place:
        adapter = Path(place)
        # On a thread that ends: the helpers of one that stays would slow the engine's down.
        with ThreadPoolExecutor(1) as passing:
            passing.submit(make_adapter, options.model, adapter).result()
            rows = passing.submit(reference_rates, options, adapter, pairs).result()
        requests = [
            GenerationRequest(
                [{"role": "user", "content": question}],
                adapter if name == "tuned" else None,
                max_new_tokens=NEW_TOKENS,
            )
            for question, name in pairs
        ]
        with Engine(options.model, options.format, may_merge=False) as engine:
            engine.generate(requests[:2])
            rows["engine"] = rate(lambda: sum(a.tokens for a in engine.generate(requests)))
            rows["engine, one answer at a time"] = rate(
                lambda: sum(engine.generate([r])[0].tokens for r in requests[: 2 * options.alone])
            )
    reference = next(iter(rows.values()))
    print(f"{len(questions)} prompts x 2 candidates, {options.format}, ", end="")
    print(f"{torch.get_num_threads()} threads, {options.model.name}\n")
    print("| how | tokens/s | ratio |\n|---|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.0f} | {value / reference:.1f} |")


if __name__ == "__main__":
    main()
