"""A way of working that fits in memory by the plan, before the model is loaded."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from finetune_app.basemodels.memory_plan import (
    KNOWN_TYPES,
    LargestBatch,
    ModelShape,
    TrainingSetup,
    memory_plan,
)
from finetune_app.basemodels.shapes import dimensions_of
from finetune_app.core.machine import this_machine
from worker.channel import Channel, UserError
from worker.engine.model_loader import fp32_bytes
from worker.training.data import Examples
from worker.training.memory_plan import count_saved_tensors
from worker.training.model_loader import read_config, reject_remote_code
from worker.training.objectives import parts_of
from worker.training.out_of_memory import CHECKPOINTING
from worker.training.pairs import PreferencePair
from worker.training.spec import TrainingSpec
from worker.training.state import State

AMPLE_SHARE = 0.5  # of the free memory; a plan is off by a fifth (docs/benchmarks/memory.md)


def choose_by_plan(
    spec: TrainingSpec, state: State, examples: Examples[Any], channel: Channel
) -> None:
    """Gradient checkpointing where a single row would not fit without it; then the largest token
    budget that fits. What is planned is tried before the first step (rehearsal.py)."""
    shape, setup, free = shape_of(spec.base_model), setup_of(spec, state), free_bytes()
    by_length = sorted(examples.train, key=lambda one: one.padded_tokens, reverse=True)
    rows = by_length[: spec.batch_size]

    def fits(token_budget: int) -> bool:
        batches = [batch_of(part) for part in parts_of(rows, token_budget)]
        return max(memory_plan(shape, setup, batch).model for batch in batches) <= free

    longest = rows[0].padded_tokens
    if spec.gradient_checkpointing == "auto" and not fits(longest):
        state.gradient_checkpointing = True
        setup = replace(setup, gradient_checkpointing=True)
        channel.emit("warning", text=CHECKPOINTING)
    while state.token_budget > longest and not fits(state.token_budget):
        state.token_budget = max(state.token_budget // 2, longest)
    if state.token_budget < longest * len(rows):
        text = f"Each step works through its rows in parts of {state.token_budget:,} tokens."
        channel.emit("log", text=text)


def has_ample_room(spec: TrainingSpec, state: State, part: Sequence[Any]) -> bool:
    """Whether the training fits so well, with these rows at once, that nobody need try it.

    Never on a card: there the plan was not compared with what is measured, and trying is quick.
    """
    if torch.cuda.is_available():
        return False
    plan = memory_plan(shape_of(spec.base_model), setup_of(spec, state), batch_of(part))
    return plan.model <= AMPLE_SHARE * free_bytes()


def setup_of(spec: TrainingSpec, state: State) -> TrainingSetup:
    return TrainingSetup(
        state.number_format,
        spec.rank,
        tuning=spec.tuning,
        on_card=torch.cuda.is_available(),
        gradient_checkpointing=state.gradient_checkpointing,
    )


def full_while_loading(spec: TrainingSpec, number_format: str) -> UserError:
    """Says so, and whether weights in 4-bit would fit."""
    hint = ""
    if spec.tuning == "lora" and find_spec("bitsandbytes") is not None:
        setup = TrainingSetup(
            number_format, spec.rank, tuning="qlora", on_card=torch.cuda.is_available()
        )
        smallest = LargestBatch(1, spec.max_tokens, spec.max_tokens, spec.max_tokens)
        if memory_plan(shape_of(spec.base_model), setup, smallest).model <= free_bytes():
            hint = " With its weights in 4-bit (the setting “tuning”: qlora) it would fit."
    return UserError(
        "out_of_memory",
        "The memory was full while the model was loaded. Close other programs, or choose a "
        f"smaller base model.{hint}",
    )


def batch_of(part: Sequence[Any]) -> LargestBatch:
    """A pair counts as its two conversations."""
    examples = [
        one
        for example in part
        for one in (
            (example.chosen, example.rejected)
            if isinstance(example, PreferencePair)
            else (example,)
        )
    ]
    lengths = [one.padded_tokens for one in examples]
    learned = sum(sum(one.loss_mask) for one in examples)
    return LargestBatch(len(examples), max(lengths), sum(lengths), learned)


@lru_cache(maxsize=1)
def shape_of(folder: Path) -> ModelShape:
    """From the files alone; a family that is not known is counted, which takes a few seconds.
    Raises UserError."""
    reject_remote_code(folder)
    config = read_config(folder)
    dimensions = dimensions_of(config)
    if dimensions["model_type"] not in KNOWN_TYPES:
        dimensions["saved"] = count_saved_tensors(folder)
    return ModelShape.known(fp32_bytes(folder, config) / 4, dimensions)


def free_bytes() -> int:
    """Of the card, or of the main memory."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    return this_machine().free_bytes
