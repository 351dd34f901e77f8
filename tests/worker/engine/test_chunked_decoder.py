"""Prompts are read in chunks, beside the sequences that write."""

import itertools
import math

import pytest
import torch

from tests.worker.engine.generation_requests import take_decoder
from tests.worker.engine.tiny_models import make_adapter
from tests.worker.engine.transformers_reference import PROMPTS, ask, reference_token_ids
from worker.engine import chunked_decoder, llama_forward
from worker.engine.adapters import BASE
from worker.engine.chunked_decoder import (
    ALONE_TOKENS,
    BESIDE_TOKENS,
    MOST_BESIDE_TOKENS,
    TOKENS_BEFORE,
    ChunkedDecoder,
    tokens_to_read,
)
from worker.engine.engine import Engine
from worker.engine.llama_forward import common_width
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState


@pytest.fixture
def decoder(base, computed_by):
    with Engine(base, "fp32") as engine:
        assert isinstance(engine._decoder, ChunkedDecoder)
        yield take_decoder(engine)


def sequence(tokens: int, offset: int = 0) -> SequenceState:
    prompt = [(7 * n + offset) % 200 for n in range(tokens)]
    return SequenceState(
        GenerationRequest([], max_new_tokens=1000), prompt, BASE, 1000, frozenset()
    )


def steps_until(decoder, ready, most: int = 100) -> int:
    with torch.inference_mode():
        for count in range(1, most + 1):
            decoder.step()
            if ready():
                return count
    raise AssertionError("it took too many steps")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_size_of_chunks_changes_no_answer(base, tmp_path, monkeypatch, computed_by, size):
    for name in ("ALONE_TOKENS", "BESIDE_TOKENS", "TOKENS_EACH_WRITING", "TOKENS_EACH_WAITING"):
        monkeypatch.setattr(chunked_decoder, name, size)
    adapters = [None, *(make_adapter(base, tmp_path / f"a{seed}", seed) for seed in (1, 2))]
    requests = [ask(p, adapters[i % 3], 6 + i % 4) for i, p in enumerate(PROMPTS)]
    with Engine(base, "fp32", max_sequences=3) as engine:
        answers = engine.generate(requests)
    for request, answer in zip(requests, answers, strict=True):
        prompt = request.messages[0]["content"]
        expected = reference_token_ids(base, request.adapter, prompt, request.max_new_tokens)
        assert answer.token_ids == expected, prompt


def test_those_who_write_get_a_token_at_every_step_of_a_long_prompt(decoder, monkeypatch):
    monkeypatch.setattr(chunked_decoder, "TOKENS_BEFORE", math.inf)
    writer, reader = sequence(4), sequence(5 * BESIDE_TOKENS)
    decoder.add([writer])
    steps_until(decoder, lambda: writer.output_token_ids)
    decoder.add([reader])
    before = len(writer.output_token_ids)
    steps = steps_until(decoder, lambda: reader.output_token_ids)
    assert steps == 5
    assert len(writer.output_token_ids) == before + steps


def test_the_more_stands_before_a_chunk_the_shorter_it_is(decoder):
    """Its tokens attend to all of that, which takes as long for fewer of them."""
    writer, reader = sequence(4), sequence(3 * TOKENS_BEFORE)
    decoder.add([writer])
    steps_until(decoder, lambda: writer.output_token_ids)
    decoder.add([reader])
    read = [0]

    def is_read() -> bool:
        read.append(reader.cached_tokens)
        return bool(reader.output_token_ids)

    steps_until(decoder, is_read, most=1000)
    chunks = [after - before for before, after in itertools.pairwise(read)][:-1]
    assert chunks == sorted(chunks, reverse=True)
    assert chunks[0] == BESIDE_TOKENS
    assert BESIDE_TOKENS // 5 < chunks[-1] < BESIDE_TOKENS // 3


def test_while_nobody_writes_more_is_read_at_once(decoder):
    reader = sequence(ALONE_TOKENS + 10)
    decoder.add([reader])
    assert steps_until(decoder, lambda: reader.output_token_ids) == 2


def test_a_short_prompt_does_not_wait_for_a_long_one(decoder):
    writer, long, short = sequence(4), sequence(50 * BESIDE_TOKENS), sequence(BESIDE_TOKENS // 2, 3)
    decoder.add([writer])
    steps_until(decoder, lambda: writer.output_token_ids)
    decoder.add([long])
    decoder.add([short])
    assert steps_until(decoder, lambda: short.output_token_ids) == 1
    assert long.cached_tokens >= BESIDE_TOKENS // 2  # and the long one is not forgotten


def test_a_long_prompt_is_read_while_short_ones_keep_coming(decoder):
    writer, long = sequence(4), sequence(4 * BESIDE_TOKENS)
    decoder.add([writer])
    steps_until(decoder, lambda: writer.output_token_ids)
    decoder.add([long])
    for number in range(8):
        decoder.add([sequence(BESIDE_TOKENS, number)])
        steps_until(decoder, lambda: True)
    assert long.output_token_ids


def test_more_is_read_beside_many(decoder):
    assert tokens_to_read(0, 3) == ALONE_TOKENS
    assert tokens_to_read(1, 1) == BESIDE_TOKENS
    assert tokens_to_read(32, 1) > BESIDE_TOKENS
    assert tokens_to_read(1, 20) == MOST_BESIDE_TOKENS


@pytest.mark.parametrize("steps", [0, 1])
def test_one_that_leaves_before_its_prompt_is_read_disturbs_nobody(base, decoder, steps):
    """The last one takes its place, whether or not anything of it has been read."""
    writer, leaves, last = sequence(4), sequence(3 * BESIDE_TOKENS), sequence(2 * BESIDE_TOKENS, 5)
    decoder.add([writer])
    steps_until(decoder, lambda: writer.output_token_ids)
    decoder.add([leaves, last])
    for _ in range(steps):
        steps_until(decoder, lambda: leaves.cached_tokens)
    leaves.cancel_event.set()
    with torch.inference_mode():
        assert decoder.remove_finished() == [leaves]
    steps_until(decoder, lambda: len(last.output_token_ids) == 3)
    alone = sequence(2 * BESIDE_TOKENS, 5)
    with Engine(base, "fp32") as other:
        decoder = take_decoder(other)
        decoder.add([alone])
        steps_until(decoder, lambda: len(alone.output_token_ids) == 3)
    assert last.output_token_ids == alone.output_token_ids


def test_sequences_of_about_the_same_length_attend_together():
    assert common_width([]) == 0
    assert common_width([300]) == 300
    assert common_width([300, 280, 310, 290]) == 310


def test_a_much_longer_one_attends_alone():
    """Else all would take as long as it does."""
    assert common_width([100] * 15 + [6000]) == 100
    assert common_width([100] * 14 + [6000, 7000]) == 100
    assert common_width([100] * 15 + [150]) == 150  # its own calls would take longer


def test_who_attends_alone_writes_the_same(base, monkeypatch):
    monkeypatch.setenv("OPENVINO", "off")
    with Engine(base, "fp32") as engine:
        decoder = take_decoder(engine)

    def answers() -> list[list[int]]:
        sequences = [sequence(tokens, tokens) for tokens in (5, 90, 7, 40)]
        decoder.add(sequences)
        steps_until(decoder, lambda: all(len(one.output_token_ids) > 9 for one in sequences))
        found = [one.output_token_ids[:9] for one in sequences]
        for one in sequences:
            one.cancel_event.set()
        with torch.inference_mode():
            decoder.remove_finished()
        return found

    together = answers()
    monkeypatch.setattr(llama_forward, "CALL_TOKENS", -1000)  # only the shortest are together
    widths = []

    def noted(lengths):
        widths.append(common_width(lengths))
        return widths[-1]

    monkeypatch.setattr(llama_forward, "common_width", noted)
    decoder.prefixes.clear()
    assert answers() == together
    assert min(widths) < 20
