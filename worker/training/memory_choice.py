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
from worker.training.micro_batches import parts_of, shared_tokens
from worker.training.model_loader import read_config, reject_remote_code
from worker.training.out_of_memory import CHECKPOINTING
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

    def fits(parts: Sequence[Sequence[Any]]) -> bool:
        batches = map(batch_of, parts)
        return max(memory_plan(shape, setup, batch).model for batch in batches) <= free

    usual = state.token_budget
    if spec.gradient_checkpointing == "auto" and not fits([rows[:1]]):
        state.gradient_checkpointing = True
        setup = replace(setup, gradient_checkpointing=True)
        channel.emit("warning", text=CHECKPOINTING)
    shared = shared_tokens(rows) if setup.is_fast(shape) else 0
    least = rows[0].padded_tokens - shared  # then each part is a single row
    while state.token_budget > least and not fits(parts_of(rows, state.token_budget, shared)):
        state.token_budget = max(state.token_budget // 2, least)
    if state.token_budget < usual:
        text = f"Each step works through its rows in parts of {state.token_budget:,} tokens."
        channel.emit("log", text=text)


def has_ample_room(spec: TrainingSpec, state: State, part: Sequence[Any]) -> bool:
    """Whether the training fits so well, with these rows at once, that nobody need try it.

    Never on a card: there the plan was not compared with what is measured, and trying is quick.
    """
    if torch.cuda.is_available():
        return False
    shape, setup = shape_of(spec.base_model), setup_of(spec, state)
    plan = memory_plan(shape, setup, batch_of(part))
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
    """A pair counts as its two conversations, and what rows share for each of them: a little too
    much, where it is computed once."""
    rows = [row for example in part for row in example.conversations]
    lengths = [row.padded_tokens for row in rows]
    learned = sum(sum(row.loss_mask) for row in rows)
    return LargestBatch(len(rows), max(lengths), sum(lengths), learned)


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
