"""Where memory runs out, each step works through its rows in smaller parts."""

from collections.abc import Callable
from typing import TypeVar

import torch

from worker.training.killed_attempts import note_attempt, too_small_for_one_row
from worker.training.state import Run, State

T = TypeVar("T")


def retry_in_smaller_parts(
    training: Run, state: State, longest: int, total: int, attempt: Callable[[], T]
) -> T:
    """Repeat `attempt` with a smaller token budget for as long as memory runs out.

    longest: tokens of the longest example. total: most padded tokens of a single micro-batch.
    """
    while True:
        try:
            return attempt()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reduce_token_budget(training, state, longest, min(total, state.token_budget), error)


def reduce_token_budget(
    training: Run, state: State, longest: int, used: int, error: Exception
) -> None:
    """Halve the token budget. Raises UserError when a single example is already too much."""
    if used <= longest:
        raise too_small_for_one_row(longest) from error
    state.token_budget = max(used // 2, 1)
    note_attempt(training.folder, state.token_budget)
    training.channel.emit(
        "warning",
        text="Memory ran out, so each step now works through its rows in smaller parts. The "
        "result is the same; it takes a little longer.",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; each device reports it differently."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and ("allocate memory" in text or "not enough memory" in text or "out of memory" in text)
    )
