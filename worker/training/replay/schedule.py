"""Which everyday rows an update reads: a pure function of the step, so that resuming is exact."""

import math
import random

REPLAY_WEIGHT = (
    4  # how much more an everyday row weighs than an example; measured, see docs/decisions
)
EPSILON = 1e-9  # rounding: 8 * 3 / 8 must not become 2.9999


def replay_indices(step: int, batch_size: int, share: float, pool: int, seed: int) -> list[int]:
    """Numbers of the everyday rows that belong to update `step` (from 0), of `pool` in all.

    `share` is their part of all rows read: 0.125 puts 8 of them beside 7 updates of 8 rows.
    They are dealt out evenly, and none comes twice before all have come once.
    """
    if not pool or not share:
        return []
    an_update = batch_size * share / (1 - share)
    start, end = (math.floor(n * an_update + EPSILON) for n in (step, step + 1))
    return [_at(position, pool, seed) for position in range(start, end)]


def _at(position: int, pool: int, seed: int) -> int:
    """The row at a place in an endless line of shuffled pools."""
    turn, place = divmod(position, pool)
    order = list(range(pool))
    random.Random(f"{seed}/everyday/{turn}").shuffle(order)
    return order[place]


def replay_weight(rows: int, everyday: int) -> float:
    """Part of an update's loss that its everyday rows make up.

    Their loss is the distance from the base model, which begins at nothing and stays small, so
    they may weigh more than their number without holding the task back.
    """
    return REPLAY_WEIGHT * everyday / (rows + REPLAY_WEIGHT * everyday)
