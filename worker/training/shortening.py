"""Shorter rows, where the memory is too small for a single long one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from worker.template import TokenizedExample
from worker.training.data import MAX_NAMED

NAMED = "The middle of the question is left out of row {rows}, so that {limit:,} tokens remain."


def shorten_rows(
    examples: Sequence[Any], numbers: Sequence[int], limit: int
) -> tuple[list[Any], str]:
    """The examples, of which none has more than `limit` tokens, and a warning that names those
    that had; "" if none had. Examples that cannot be shortened stay as they are."""
    found = [shortened(example, limit) for example in examples]
    changed = [
        number
        for number, before, after in zip(numbers, examples, found, strict=True)
        if after is not before
    ]
    if not changed:
        return found, ""
    named = ", ".join(str(number) for number in changed[:MAX_NAMED])
    more = ", ..." if len(changed) > MAX_NAMED else ""
    return found, NAMED.format(rows=named + more, limit=limit)


def can_be_shortened(example: Any, limit: int) -> bool:
    return shortened(example, limit) is not example


def shortened(example: Any, limit: int) -> Any:
    """Without the middle of its longest part that is not learned; the example itself where that
    part is too short, and a preference pair."""
    if not isinstance(example, TokenizedExample) or len(example.input_ids) <= limit:
        return example
    surplus = len(example.input_ids) - limit
    start, end = _longest_context(example.loss_mask)
    if end - start <= surplus:
        return example
    first = start + (end - start - surplus) // 2
    kept = [*range(first), *range(first + surplus, len(example.input_ids))]
    return replace(
        example,
        input_ids=[example.input_ids[index] for index in kept],
        loss_mask=[example.loss_mask[index] for index in kept],
    )


def _longest_context(loss_mask: Sequence[bool]) -> tuple[int, int]:
    """Start and end of the longest run of tokens that are not learned."""
    best = (0, 0)
    begin = 0
    for index, learned in enumerate([*loss_mask, True]):
        if learned:
            if index - begin > best[1] - best[0]:
                best = begin, index
            begin = index + 1
    return best
