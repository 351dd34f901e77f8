"""An update is computed in parts that fit in memory, its micro-batches.

Our own forward pass on a CPU (llama_loss.py) computes once what all rows of a part begin with, such
as the same instructions. Cut by whole rows, each part would compute it again; so what rows share
counts less there.
"""

from collections.abc import Sequence
from typing import TypeVar

from finetune_app.basemodels.memory_plan import CARD_TOKENS
from worker.training.data import TrainingExample
from worker.training.replay.answers import ReplayExample

E = TypeVar("E", bound=TrainingExample)
WITH_SHARED = 4  # times the budget, where rows share; the keys of what they share are kept for each


def parts_of(examples: Sequence[E], token_budget: int, shared: int = 0) -> list[list[E]]:
    """The examples in parts that fit in memory.

    shared: tokens that all conversations but replay examples begin with, and that a part computes
    once.
    """
    sizes = [one.padded_tokens for one in examples]
    begun = [
        0 if isinstance(one, ReplayExample) else shared * len(one.conversations) for one in examples
    ]
    parts = micro_batches(sizes, token_budget, begun)
    return [[examples[index] for index in part] for part in parts]


def micro_batches(
    sizes: Sequence[int], token_budget: int, shared: Sequence[int] | None = None
) -> list[list[int]]:
    """Split a batch into parts of at most `token_budget` padded tokens, or a single example.

    sizes: padded tokens of each example. shared: those of them that a part computes once; without
    them a part keeps to the budget, with them to WITH_SHARED times as much, but no more than a
    graphics card computes at once. Returns the indices of each part.
    """
    shared = shared or [0] * len(sizes)
    whole = min(WITH_SHARED * token_budget, CARD_TOKENS) if any(shared) else token_budget
    parts: list[list[int]] = []
    most = 0  # of the newest part: tokens of a row without the shared ones
    for index in sorted(range(len(sizes)), key=lambda index: sizes[index]):
        rows = len(parts[-1]) + 1 if parts else 1
        own = max(most, sizes[index] - shared[index])
        if parts and rows * own <= token_budget and rows * sizes[index] <= whole:
            parts[-1].append(index)
            most = own
        else:
            parts.append([index])
            most = sizes[index] - shared[index]
    return parts


def shared_tokens(examples: Sequence[TrainingExample]) -> int:
    """Tokens that all conversations but replay examples begin with, before anything is learned; 0
    for a single one, which shares with none."""
    rows = [
        row for one in examples if not isinstance(one, ReplayExample) for row in one.conversations
    ]
    if len(rows) < 2:
        return 0
    ids = [row.input_ids for row in rows]
    first, last = min(ids), max(ids)  # as lists are ordered, all others agree where these two do
    unlearned = min([*row.loss_mask, True].index(True) for row in rows) - 1
    same = (place for place in range(unlearned) if first[place] != last[place])
    return max(next(same, unlearned), 0)
