"""Sequences take blocks as they grow, share what they begin with, and give them back."""

import psutil
import pytest
import torch

from worker.engine.openvino import kv_cache
from worker.engine.openvino.kv_cache import BLOCK_TOKENS, PagedKVCache

SHAPES = [([2, BLOCK_TOKENS, 4], [2, BLOCK_TOKENS, 4])] * 3  # of three layers
LARGE = [([64, BLOCK_TOKENS, 64], [64, BLOCK_TOKENS, 64])]


def cache() -> PagedKVCache:
    return PagedKVCache(SHAPES, torch.float32)


def write(cache: PagedKVCache, slot: int, length: int, value: float, start: int = 0) -> None:
    """As a step does: tokens start..length, in the sequence's blocks."""
    blocks = cache.take_blocks(slot, length)
    for at in range(start, length):
        for keys, values in cache.pools:
            block, place = blocks[at // BLOCK_TOKENS], at % BLOCK_TOKENS
            keys[block, :, place], values[block, :, place] = value, -value


def read(cache: PagedKVCache, slot: int, length: int) -> list[float]:
    """Of each token."""
    blocks = torch.tensor(cache.take_blocks(slot, length))
    found = []
    for keys, values in cache.pools:
        tokens = keys[blocks].permute(0, 2, 1, 3).flatten(0, 1)[:length].flatten(1)
        assert torch.equal(keys[blocks], -values[blocks])
        found.append([float(one) for one in tokens.amax(1)])
        assert torch.equal(tokens.amax(1), tokens.amin(1))
    assert found == [found[0]] * len(found)
    return found[0]


def blocks_in_use(cache: PagedKVCache) -> int:
    return len(cache._users)


def test_a_sequence_takes_what_it_needs():
    one = cache()
    assert [len(one.take_blocks(0, n)) for n in (1, BLOCK_TOKENS, BLOCK_TOKENS + 1)] == [1, 1, 2]
    one.take_blocks(1, 10 * BLOCK_TOKENS)
    assert not set(one.take_blocks(0, 40)) & set(one.take_blocks(1, 10 * BLOCK_TOKENS))
    assert one.tokens_for([1, 7 * BLOCK_TOKENS]) == 8 * BLOCK_TOKENS


def test_the_last_slot_moves_into_a_gap():
    one = cache()
    for slot in range(3):
        write(one, slot, 40, slot + 1.0)
    one.remove(0, 2, 40)
    assert [read(one, slot, 40) for slot in (0, 1)] == [[3.0] * 40, [2.0] * 40]
    assert not set(one.take_blocks(2, 40)) & {*one.take_blocks(0, 40), *one.take_blocks(1, 40)}
    one.remove(1, 1, 40)
    assert read(one, 0, 40) == [3.0] * 40


def test_who_begins_alike_shares_full_blocks_and_goes_on_alone():
    one = cache()
    write(one, 0, 70, 5.0)
    one.copy(0, 1, 40)
    assert one.take_blocks(0, 32) == one.take_blocks(1, 32)
    assert blocks_in_use(one) == 3 + 1
    write(one, 1, 70, 6.0, start=40)
    write(one, 0, 80, 7.0, start=70)
    assert read(one, 0, 80) == [5.0] * 70 + [7.0] * 10
    assert read(one, 1, 70) == [5.0] * 40 + [6.0] * 30
    one.remove(0, 1, 70)
    assert read(one, 0, 70) == [5.0] * 40 + [6.0] * 30


def test_what_is_kept_outlives_its_sequence():
    one = cache()
    write(one, 0, 70, 5.0)
    kept = one.keep(0, 70)
    assert kept.bytes == 3 * one.block_bytes
    one.remove(0, 0, 70)
    write(one, 0, 200, 8.0)  # takes none of its blocks
    one.clear()
    for slot, length in ((0, 70), (1, 64), (2, 33)):
        one.begin(slot, kept, length)
        write(one, slot, length + 9, 6.0, start=length)
        assert read(one, slot, length + 9) == [5.0] * length + [6.0] * 9
    one.clear()
    assert blocks_in_use(one) == 3
    kept.release()
    assert blocks_in_use(one) == 0


def test_memory_is_what_was_written_and_most_of_it_is_given_back():
    one = PagedKVCache(LARGE, torch.float32)
    process, megabyte = psutil.Process(), 1 << 20
    before = process.memory_info().rss
    write(one, 0, 3, 1.0)
    assert process.memory_info().rss - before < 32 * megabyte
    blocks = one.take_blocks(1, 200 * BLOCK_TOKENS)
    one.pools[0][0][blocks], one.pools[0][1][blocks] = 2.0, 2.0
    kept = one.keep(1, 3 * BLOCK_TOKENS)
    assert process.memory_info().rss - before > 180 * megabyte
    one.clear()
    assert process.memory_info().rss - before < 32 * megabyte + kv_cache.IDLE_BYTES
    one.begin(0, kept, 3 * BLOCK_TOKENS)
    assert one.pools[0][0][one.take_blocks(0, 96)].unique().tolist() == [2.0]


def test_the_first_blocks_are_taken_first():
    one = cache()
    one.take_blocks(0, 100)
    one.take_blocks(1, 100)
    one.remove(0, 1, 100)
    one.clear()
    assert one.take_blocks(0, 300) == list(range(10))


def test_where_memory_ends_it_says_so(monkeypatch):
    monkeypatch.setattr(kv_cache, "this_machine", lambda: SmallMachine)
    one = cache()
    one.take_blocks(0, 4 * BLOCK_TOKENS)
    with pytest.raises(MemoryError):
        one.take_blocks(1, 2 * BLOCK_TOKENS)
    one.clear()
    assert len(one.take_blocks(0, 5 * BLOCK_TOKENS)) == 5


class SmallMachine:
    memory_bytes = 5 * 3 * 2 * 2 * BLOCK_TOKENS * 4 * 4


def test_memory_of_a_token():
    assert cache().bytes_per_token() == 3 * 2 * 2 * 4 * 4  # layers, keys and values, heads, size
