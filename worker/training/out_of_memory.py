"""Where memory runs out, a run goes on in a way that needs less of it.

In this order: each step works through its rows in smaller parts; intermediate results are computed
again instead of being kept (gradient checkpointing); rows that are too long on their own are
shortened. The first is possible at any time, the others only before the first step.
"""

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from worker.channel import UserError
from worker.training.data import TrainingExample
from worker.training.killed_attempts import Attempt, note_attempt
from worker.training.micro_batches import shared_tokens
from worker.training.state import Run, State

T = TypeVar("T")

LEAST_ROW_TOKENS = 128  # no row is made shorter than this

SMALLER_PARTS = (
    "Memory ran out, so each step now works through its rows in smaller parts. The result is the "
    "same; it takes a little longer."
)
CHECKPOINTING = (
    "The memory is short, so intermediate results are computed twice instead of being kept "
    "(gradient checkpointing). The result is the same; each step takes longer."
)
KILLED = (
    "The system ended the training because the memory was full. It continues from its last saved "
    "point in a way that needs less."
)


def retry_in_smaller_parts(
    training: Run, state: State, examples: Sequence[TrainingExample], attempt: Callable[[], T]
) -> T:
    """Repeat `attempt` with a smaller token budget for as long as memory runs out.

    examples: what it computes. Raises UserError when a single one is already too much.
    """
    longest = max(example.padded_tokens for example in examples)
    shared = shared_tokens(examples) if training.loss.shares else 0
    while True:
        try:
            return attempt()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            used = min(longest * len(examples), state.token_budget)
            if used <= longest - shared:  # then each part is a single one
                raise too_small_for_one_row(longest) from error
        release()
        state.token_budget = max(used // 2, 1)
        note_state(training, state)
        training.channel.emit("warning", text=SMALLER_PARTS)


def need_less(state: State, used: int, longest: int, *, checkpoint: bool, shorten: bool) -> str:
    """Change the state to the next way of working; returns the warning.

    used: tokens of the batch that was too large, each row's in full. longest: of its longest row.
    checkpoint, shorten: whether that is allowed. Raises UserError when nothing is left.
    """
    if used > longest:
        state.token_budget = max(min(used, state.token_budget) // 2, 1)
        return SMALLER_PARTS
    if checkpoint and not state.gradient_checkpointing:
        state.gradient_checkpointing = True
        return CHECKPOINTING
    limit = shorter(longest)
    if not shorten or limit < LEAST_ROW_TOKENS:
        raise too_small_for_one_row(longest)
    state.row_limit = limit
    return (
        f"Rows of more than {limit:,} tokens are shortened, because a single one of {longest:,} "
        "tokens fills the memory."
    )


def shorter(longest: int) -> int:
    """Tokens that are tried next, after a row of so many has filled the memory."""
    return longest * 3 // 4


def adopt_attempt(attempt: Attempt, state: State) -> None:
    """Work as that attempt did."""
    state.token_budget = min(state.token_budget, attempt.token_budget)
    state.gradient_checkpointing |= attempt.gradient_checkpointing
    state.row_limit = attempt.row_limit or state.row_limit


def note_state(training: Run, state: State) -> None:
    note_attempt(
        training.folder,
        state.token_budget,
        gradient_checkpointing=state.gradient_checkpointing,
        row_limit=state.row_limit,
    )


def too_small_for_one_row(longest: int) -> UserError:
    """longest: tokens of the longest example."""
    return UserError(
        "out_of_memory",
        f"The memory is not enough for a single row of {longest} tokens. Close other programs, "
        "shorten the longest rows, or choose a smaller base model.",
    )


def release() -> None:
    """Give back what the failed attempt held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; each device reports it differently."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and ("allocate memory" in text or "not enough memory" in text or "out of memory" in text)
    )
