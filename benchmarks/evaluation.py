"""How long an evaluation takes: ours against three runs of transformers' `generate`.

    python -m benchmarks.evaluation MODEL_FOLDER [--prompts 500] [--format bf16]

Base model, base model with instructions and four examples, and an adapter answer the same prompts,
greedy, 48 new tokens at most. Ours is the evaluation that the application runs, loading and scoring
included. The reference is what a script does: each candidate on its own, in batches of 32 in the
order of the file, padded on the left. Same prompts, adapter, number format and machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.decoding import NEW_TOKENS, Plain, make_adapter, prompts
from finetune_app.candidates.prompt_builder import PromptTemplate, build_prompt
from finetune_app.candidates.specs import CandidateSpec
from finetune_app.core.chat_messages import Message
from finetune_app.evaluation.job_messages import EvaluationSpec
from finetune_app.guide.sample import sample
from worker.channel import Job
from worker.evaluation.run import run
from worker.template import prompt_token_ids

BATCH = 32
INSTRUCTIONS = "Sort the email: its topic, the desk it goes to, and when it is due."
Row = dict[str, Any]


class TimingChannel:
    """Notes when the first answer came and how many there were."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.first = 0.0
        self.tokens = self.answers = 0

    def emit(self, event: str, **fields: Any) -> None:
        if event == "answer":
            self.first = self.first or time.perf_counter() - self.started
            self.tokens += fields["tokens"]
            self.answers += 1

    def check(self) -> None:
        pass

    def stopping(self) -> bool:
        return False


def rows(count: int) -> list[Row]:
    """Emails of the sample goal, then sentences of the general text, as rows of a version."""
    found = [row["messages"] for row in sample().rows]
    for sentence in prompts(count):
        question: Message = {"role": "user", "content": sentence}
        found.append([question, {"role": "assistant", "content": "-"}])
    return [
        {"id": number, "split": "test", "messages": messages}
        for number, messages in enumerate(found[:count], 1)
    ]


def candidates(model: Path, adapter: Path, shots: list[Row]) -> list[CandidateSpec]:
    plain: dict[str, Any] = {"base_model": str(model), "number_format": "auto"}
    examples = [
        {"prompt": one["messages"][0]["content"], "answer": one["messages"][1]["content"]}
        for one in shots
    ]
    with_prompt: dict[str, Any] = {"instructions": INSTRUCTIONS, "shots": examples}
    return [
        CandidateSpec(id=1, name="base", **plain),
        CandidateSpec(id=2, name="prompt", **with_prompt, **plain),
        CandidateSpec(id=3, name="tuned", adapter=str(adapter), **plain),
    ]


def evaluate(version: Path, specs: list[CandidateSpec], number_format: str) -> TimingChannel:
    spec: EvaluationSpec = {
        "version": str(version),
        "measure": {"kind": "exact", "settings": {}},
        "candidates": [{**one, "number_format": number_format} for one in specs],
        "answered": [],
        "max_new_tokens": NEW_TOKENS,
        "general": False,
        "seed": 17,
    }
    channel = TimingChannel()
    with tempfile.TemporaryDirectory() as folder:
        run(Job("evaluation", Path(folder), dict(spec)), channel)
    return channel


def generate(
    model: Path, adapter: Path, spec: CandidateSpec, messages: list[list[Message]], fmt: str
) -> tuple[int, float]:
    """One script for one candidate: tokens written, and seconds from loading to the last."""
    started = time.perf_counter()
    plain = Plain(model, adapter, fmt)
    template = PromptTemplate.from_spec(spec)
    name = "tuned" if spec.get("adapter") else "__base__"
    tokens = 0
    for at in range(0, len(messages), BATCH):
        ids = [
            prompt_token_ids(plain.tokenizer, build_prompt(template, one, ()).messages)
            for one in messages[at : at + BATCH]
        ]
        tokens += plain.answer_ids(ids, [name] * len(ids))
    return tokens, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--format", default="bf16")
    parser.add_argument("--prompts", type=int, default=500)
    options = parser.parse_args()
    test_rows = rows(options.prompts + 4)
    shots, test_rows = test_rows[:4], test_rows[4:]
    messages = [one["messages"][:-1] for one in test_rows]
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(1) as passing:
        adapter, version = Path(place) / "adapter", Path(place) / "version.jsonl"
        version.write_text("".join(json.dumps(row) + "\n" for row in test_rows))
        passing.submit(make_adapter, options.model, adapter).result()
        specs = candidates(options.model, adapter, shots)
        ours = evaluate(version, specs, options.format)
        seconds = time.perf_counter() - ours.started
        scripts = [
            passing.submit(
                generate, options.model, adapter, spec, messages, options.format
            ).result()
            for spec in specs
        ]
    reference = sum(spent for _tokens, spent in scripts)
    print(f"{len(messages)} prompts x 3 candidates, {options.format}, ", end="")
    print(f"{torch.get_num_threads()} threads, {options.model.name}\n")
    print("| how | first answer | all answers | tokens | times as fast |\n|---|---|---|---|---|")
    tokens = sum(written for written, _spent in scripts)
    print(f"| `generate`, three scripts | | {reference:.0f} s | {tokens:,} | 1 |")
    print(
        f"| evaluation | {ours.first:.1f} s | {seconds:.0f} s | {ours.tokens:,} "
        f"| {reference / seconds:.1f} |"
    )


if __name__ == "__main__":
    main()
