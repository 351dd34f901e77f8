"""Sequences take blocks as they grow, and give them back."""

import torch

from worker.engine.openvino.kv_cache import BLOCK_TOKENS, FIRST_BLOCKS, PagedKVCache

SHAPES = [([2, BLOCK_TOKENS, 4], [2, BLOCK_TOKENS, 4])] * 3  # of three layers


def cache() -> PagedKVCache:
    return PagedKVCache(SHAPES, torch.float32)


def write(cache: PagedKVCache, slot: int, length: int, value: float) -> None:
    blocks = torch.tensor(cache.take_blocks(slot, length))
    for keys, values in cache.pools:
        keys[blocks], values[blocks] = value, -value


def read(cache: PagedKVCache, slot: int, length: int) -> set[float]:
    layers = cache.read_prefix(slot, length).values()
    return {float(one) for keys, _values in layers for one in keys.unique()}


def test_a_sequence_takes_what_it_needs():
    one = cache()
    assert [len(one.take_blocks(0, n)) for n in (1, BLOCK_TOKENS, BLOCK_TOKENS + 1)] == [1, 1, 2]
    one.take_blocks(1, 10 * BLOCK_TOKENS)
    assert not set(one.take_blocks(0, 40)) & set(one.take_blocks(1, 10 * BLOCK_TOKENS))
    assert one.tokens_for([1, 7 * BLOCK_TOKENS]) == (8 + 2) * BLOCK_TOKENS  # it may have grown


def test_it_grows_and_keeps_what_it_holds():
    one = cache()
    write(one, 0, 50, 7.0)
    before = one.pools
    one.take_blocks(1, FIRST_BLOCKS * BLOCK_TOKENS)
    assert one.pools is not before
    assert len(one.pools[0][0]) == FIRST_BLOCKS * 5 // 4
    one.take_blocks(2, 8 * BLOCK_TOKENS)
    assert len(one.pools[0][0]) == FIRST_BLOCKS + 2 + 8
    assert read(one, 0, 50) == {7.0}


def test_the_last_slot_moves_into_a_gap():
    one = cache()
    for slot in range(3):
        write(one, slot, 40, slot + 1.0)
    one.remove(0, 2, 40)
    assert [read(one, slot, 40) for slot in (0, 1)] == [{3.0}, {2.0}]
    assert not set(one.take_blocks(2, 40)) & {*one.take_blocks(0, 40), *one.take_blocks(1, 40)}
    one.remove(1, 1, 40)
    assert read(one, 0, 40) == {3.0}


def test_a_copy_belongs_to_whoever_has_it():
    one = cache()
    write(one, 0, 70, 5.0)
    one.copy(0, 1, 40)
    write(one, 0, 70, 6.0)
    assert read(one, 1, 40) == {5.0}
    kept = one.read_prefix(1, 40)
    one.clear()
    one.write_prefix(0, kept, 33)
    assert read(one, 0, 33) == {5.0}


def test_only_the_first_memory_stays_while_nobody_writes():
    released = []
    one = PagedKVCache(SHAPES, torch.float32, release=lambda: released.append(True))
    one.take_blocks(0, BLOCK_TOKENS)
    first = one.pools
    one.clear()
    assert one.pools is first
    assert not released
    one.take_blocks(0, (FIRST_BLOCKS + 1) * BLOCK_TOKENS)
    one.clear()
    assert not one.pools
    assert len(released) == 2  # once when it grew
    assert one.take_blocks(0, FIRST_BLOCKS * BLOCK_TOKENS) == list(range(FIRST_BLOCKS))


def test_memory_of_a_token():
    assert cache().bytes_per_token() == 3 * 2 * 2 * 4 * 4  # layers, keys and values, heads, size
