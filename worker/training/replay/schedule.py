"""Which replay examples an update reads: a pure function of the step, so that resuming is exact."""

import math
import random

REPLAY_WEIGHT = 4  # of a replay example, relative to an example; measured (docs/decisions)
EPSILON = 1e-9  # rounding: 8 * 3 / 8 must not become 2.9999


def replay_indices(step: int, batch_size: int, share: float, count: int, seed: int) -> list[int]:
    """Indices of the replay examples of update `step` (from 0), of `count` in all.

    share: their part of all examples read; 0.125 adds 8 of them to 7 updates of 8 examples. They
    are spread evenly, and none is read twice before all have been read once.
    """
    if not count or not share:
        return []
    per_update = batch_size * share / (1 - share)
    start, end = (math.floor(n * per_update + EPSILON) for n in (step, step + 1))
    return [_at(position, count, seed) for position in range(start, end)]


def _at(position: int, count: int, seed: int) -> int:
    """The index at a position of an endless sequence of shuffled rounds."""
    number, offset = divmod(position, count)
    order = list(range(count))
    random.Random(f"{seed}/everyday/{number}").shuffle(order)
    return order[offset]


def replay_weight(examples: int, replay: int) -> float:
    """Weight of the replay examples in the loss of an update; the rest is that of the examples.

    Their loss is the divergence from the base model, which starts at zero and stays small, so it
    may weigh more than their number without slowing down the task.
    """
    return REPLAY_WEIGHT * replay / (examples + REPLAY_WEIGHT * replay)
