"""A batch laid end to end for LlamaLoss, and where each token stands while all attend to others.

Only attention needs rows side by side. For it the tokens are copied into grids: rows of equal
length, each behind the keys of the prefix that all share. Which head of which token goes where is
the same in every layer, so it is found once for a batch, and a copy is a single `index_select`.

In shapes, `tokens` is the number of tokens of a batch without padding, the prefix counted once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from worker.training.data import Batch

Heads = tuple[int, int, int]
"""Query heads, key-value heads, and the size of one."""


@dataclass(frozen=True)
class Grid:
    """Rows that attend at the same time, padded to the longest one.

    queries: (rows * query_heads * length,) where each query stands among the heads that are
        rotated, (tokens * (query_heads + kv_heads)).
    outputs: the same among the outputs, (tokens * query_heads); that of padding is behind them.
    keys: (rows * kv_heads * (prefix + length),) the same among the heads that are rotated.
    values: the same among all heads, (tokens * (query_heads + 2 * kv_heads)).
    mask: (rows or 1, 1, 1, length, prefix + length), 0 where a query sees a key, else -infinity:
        each sees itself, what is before it in its row, and the prefix if its row begins with it.
    """

    rows: int
    prefix: int
    queries: torch.Tensor
    outputs: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True)
class AttentionLayout:
    """The grids of a batch, and the way back.

    prefix: shared tokens. output_places: (tokens * query_heads,) where each token's outputs stand
    in all grids, one behind the other. key_places: (tokens * kv_heads,) where its keys do.
    """

    heads: Heads
    prefix: int
    grids: list[Grid]
    output_places: torch.Tensor
    key_places: torch.Tensor


@dataclass(frozen=True)
class PackedBatch:
    """The shared prefix once, then the rest of every example.

    input_ids: (tokens,). position_ids: (tokens,), the place of each in its example.
    learned: (learned,) indices of tokens whose next token is learned.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    learned: torch.Tensor
    layout: AttentionLayout


def pack(batch: Batch, heads: Heads, dtype: torch.dtype) -> PackedBatch:
    """dtype: in which the model computes."""
    rows, longest = batch.input_ids.shape
    prefix = shared_prefix(batch, batch.own_rows)
    # Replay examples that begin otherwise are computed whole, and do not see the prefix.
    strangers = 0 if shared_prefix(batch, rows) >= prefix else batch.replay_rows
    order = torch.arange(longest, device=batch.input_ids.device)
    sees_prefix = order.new_ones(rows).cumsum(0) <= rows - strangers
    starts = (prefix * sees_prefix)[:, None]
    places = starts + order[: int((batch.lengths[:, None] - starts).max())]  # in its example
    is_real = places < batch.lengths[:, None]
    places = places.clamp(max=longest - 1)

    def of_rows(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, places)[is_real]

    input_ids = torch.cat((batch.input_ids[0, :prefix], of_rows(batch.input_ids)))
    cells = is_real.flatten().cumsum(0).view_as(is_real) + prefix - 1
    cells = cells.masked_fill(~is_real, len(input_ids))
    return PackedBatch(
        input_ids,
        torch.cat((order[:prefix], places[is_real])),
        of_rows(batch.loss_mask).nonzero().flatten() + prefix,
        _attention_layout(_Rows(cells, sees_prefix, prefix), len(input_ids), heads, dtype),
    )


def shared_prefix(batch: Batch, rows: int) -> int:
    """Number of tokens that the first `rows` examples begin with, before anything is learned.

    0 for a single example, which shares with none.
    """
    if rows < 2:
        return 0
    ids, mask, lengths = batch.input_ids[:rows], batch.loss_mask[:rows], batch.lengths[:rows]
    same = (ids == ids[:1]).all(dim=0) & ~mask.any(dim=0)
    within = torch.arange(len(same), device=same.device) < int(lengths.min()) - 1
    return int((same & within).long().cumprod(dim=0).sum())


class _Rows(NamedTuple):
    """cells: (rows, length), the token in each cell; the number of all tokens where there is none.
    sees_prefix: (rows,) bool. prefix: tokens of the prefix that those rows see."""

    cells: torch.Tensor
    sees_prefix: torch.Tensor
    prefix: int


def _attention_layout(
    rows: _Rows, tokens: int, heads: Heads, dtype: torch.dtype
) -> AttentionLayout:
    cells, sees_prefix, prefix = rows
    itself = torch.arange(prefix, device=cells.device)[None]
    none = sees_prefix.new_zeros(1)
    parts = [rows]
    if 0 < prefix <= cells.shape[1]:  # the prefix is one more row, which begins with nothing
        padding = cells.new_full((1, cells.shape[1] - prefix), tokens)
        cells = torch.cat((torch.cat((itself, padding), dim=1), cells))
        parts = [_Rows(cells, torch.cat((none, sees_prefix)), prefix)]
    elif prefix:  # as a row it would make all others as long
        parts = [_Rows(itself, none, 0), rows]
    grids = [_grid(part, tokens, heads, dtype) for part in parts]
    query_heads, kv_heads, _ = heads
    return AttentionLayout(
        heads,
        prefix,
        grids,
        _inverse([grid.outputs for grid in grids], tokens * query_heads),
        _inverse([_own_keys(part, tokens, kv_heads) for part in parts], tokens * kv_heads),
    )


def _grid(part: _Rows, tokens: int, heads: Heads, dtype: torch.dtype) -> Grid:
    cells, sees_prefix, prefix = part
    rows, length = cells.shape
    query_heads, kv_heads, _ = heads
    rotated = query_heads + kv_heads
    filled = cells.clamp(max=tokens - 1)  # padding is any token: nothing that counts sees it
    shared = torch.arange(prefix, device=cells.device).expand(rows, -1)
    seen = torch.cat((shared, filled), dim=1)
    return Grid(
        rows,
        prefix,
        _of_heads(filled, query_heads, 0, rotated),
        _of_heads(cells, query_heads),
        _of_heads(seen, kv_heads, query_heads, rotated),
        _of_heads(seen, kv_heads, rotated, rotated + kv_heads),
        _mask(sees_prefix, prefix, length, dtype),
    )


def _own_keys(part: _Rows, tokens: int, kv_heads: int) -> torch.Tensor:
    """Of which head of which token each key of a grid is; a copy of the prefix's is of none."""
    copies = part.cells.new_full((len(part.cells), part.prefix), tokens)
    return _of_heads(torch.cat((copies, part.cells), dim=1), kv_heads)


def _mask(sees_prefix: torch.Tensor, prefix: int, length: int, dtype: torch.dtype) -> torch.Tensor:
    hidden = sees_prefix.new_ones(length, prefix + length).triu(prefix + 1)
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    mask = mask.masked_fill(hidden, float("-inf"))[None, None, None]
    if not prefix or bool(sees_prefix.all()):
        return mask
    mask = mask.repeat(len(sees_prefix), 1, 1, 1, 1)
    mask[~sees_prefix, ..., :prefix] = float("-inf")
    return mask


def _of_heads(
    cells: torch.Tensor, heads: int, first: int = 0, of: int | None = None
) -> torch.Tensor:
    """cells (rows, length) of tokens to (rows * heads * length,): where `heads` heads of them
    stand, from the `first` one on, where each token has `of`."""
    chosen = torch.arange(first, first + heads, device=cells.device)
    return (cells[:, None, :] * (of or heads) + chosen[:, None]).flatten()


def _inverse(places: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    """At which position each number below `size` stands."""
    whole = torch.cat(tuple(places))
    found = whole.new_empty(int(whole.max()) + 1)
    found[whole] = torch.arange(len(whole), device=whole.device)
    return found[:size]
