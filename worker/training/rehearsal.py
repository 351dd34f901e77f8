"""The largest batch is computed once before the first step, and its gradients are thrown away.

So memory that is too small is found at the start and not after an hour, when the longest rows come.
It costs one step at most, and is left out where the plan leaves plenty of room.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from finetune_app.basemodels.memory_plan import token_budget
from finetune_app.basemodels.training_work import replay_rows
from worker.training.data import Batches
from worker.training.data_parallel import processes_for
from worker.training.memory_choice import has_ample_room
from worker.training.objectives import Update
from worker.training.out_of_memory import (
    is_out_of_memory,
    need_less,
    note_state,
    release,
    shorter,
)
from worker.training.prepare import choose_loss, make_objective
from worker.training.shortening import can_be_shortened, shorten_rows
from worker.training.state import Run, State


def rehearse(training: Run, state: State) -> Run:
    """The run, changed where the memory is too small for it as it was, with a warning.

    Raises UserError when not even a single row fits.
    """
    while True:
        part = largest_part(training, state.token_budget)
        training.channel.check()
        note_state(training, state)  # the kernel may end this process instead of raising an error
        if has_ample_room(training.spec, state, part) or fits(training, state.token_budget):
            training.optimizer.zero_gradients()
            return training
        training = with_less_memory(training, state, part)


def largest_part(training: Run, token_budget: int) -> list[Any]:
    """Of the longest rows that can meet in one batch, those that this process computes at once."""
    parts = longest_rows(training).parts(token_budget, training.ranks)
    return max(([*own, *replay] for own, replay in parts if own), key=_padded)


def longest_rows(training: Run) -> Update[Any]:
    """The longest rows, everyday ones too, that can meet in one batch of this process."""
    spec, processes = training.spec, processes_for(training.spec)
    rows = -(-spec.batch_size // processes)
    replay = -(-replay_rows(spec.batch_size, spec.replay_share) // processes)
    return Update(
        training.objective,
        _by_length(training.train_examples)[:rows],
        _by_length(training.replay_examples)[:replay],
        replay_weight=0.5,
    )


def _by_length(examples: Sequence[Any]) -> list[Any]:
    return sorted(examples, key=lambda one: one.padded_tokens, reverse=True)


def _padded(part: Sequence[Any]) -> int:
    longest: int = max(example.padded_tokens for example in part)
    return len(part) * longest


def fits(training: Run, token_budget: int) -> bool:
    """Forward and backward pass of the longest rows."""
    try:
        torch.manual_seed(training.spec.seed % 2**63)  # of the dropout; steps have their own
        longest_rows(training).backward(training.optimizer, token_budget, training.ranks)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    release()
    return False


def with_less_memory(training: Run, state: State, part: Sequence[Any]) -> Run:
    """The next way of working that needs less; see out_of_memory.py."""
    longest = max(example.padded_tokens for example in part)
    before = state.gradient_checkpointing
    warning = need_less(
        state,
        _padded(part),
        longest,
        checkpoint=training.spec.gradient_checkpointing == "auto",
        shorten=can_be_shortened(part[0], shorter(longest)),
    )
    training.channel.emit("warning", text=warning)
    if state.gradient_checkpointing and not before:
        on_card = torch.cuda.is_available()
        state.token_budget = token_budget(state.number_format, on_card)  # as many rows as then fit
        training = with_checkpointing(training, state)
    elif _padded(part) == longest:
        training = with_shorter_rows(training, state)
    return training


def with_checkpointing(training: Run, state: State) -> Run:
    loss = choose_loss(training.adapted, training.channel, gradient_checkpointing=True)
    examples = [*training.train_examples, *training.validation_examples]
    objective = make_objective(
        training.spec,
        training.folder,
        training.adapted,
        loss,
        examples,
        training.replay_examples,
        state.token_budget,
        training.channel,
    )
    return replace(training, loss=loss, objective=objective)


def with_shorter_rows(training: Run, state: State) -> Run:
    """None is longer than the limit, other than those that cannot be shortened."""
    examples, warning = shorten_rows(training.train_examples, training.row_numbers, state.row_limit)
    if warning:
        training.channel.emit("warning", text=warning)
    spec = training.spec
    return replace(
        training,
        train_examples=examples,
        batches=Batches(examples, spec.batch_size, spec.seed),
    )
