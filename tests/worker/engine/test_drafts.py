"""Tokens that have followed before are guessed, checked, and never change an answer."""

import pytest
import torch

from tests.worker.engine.generation_requests import take_decoder
from tests.worker.engine.tiny_models import make_adapter
from tests.worker.engine.transformers_reference import PROMPTS, ask, reference_token_ids
from worker.engine.adapters import BASE
from worker.engine.drafts import LONGEST_REST, MOST_TOKENS, Drafts
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState


def test_what_followed_the_last_time_is_guessed():
    drafts = Drafts()
    assert drafts.next([5, 6, 7, 1, 2, 3, 8, 9], 8) == []
    assert drafts.next([5, 6, 7, 1, 2, 3, 8, 9, 5, 6, 7], 8) == [1, 2, 3, 8, 9, 5, 6, 7]
    assert drafts.next([5, 6, 7, 1, 2, 3, 8, 9, 5, 6, 7, 4, 1, 2, 3], 2) == [8, 9]


def test_the_latest_occurrence_counts():
    drafts = Drafts()
    assert drafts.next([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], 1) == [5]


@pytest.mark.parametrize("token_ids", [[], [1], [1, 2], [1, 2, 3]])
def test_nothing_is_guessed_from_too_little(token_ids):
    assert Drafts().next(token_ids, 8) == []


def test_a_draft_has_an_end():
    repeated = [1, 2, 3, *range(10, 50), 1, 2, 3]
    assert len(Drafts().next(repeated, 100)) == MOST_TOKENS
    assert Drafts().next(repeated, 0) == []


def test_after_wrong_drafts_the_next_one_waits():
    drafts, token_ids, waited = Drafts(), [1, 2, 3, 4, 1, 2, 3], []
    for _ in range(9):
        steps = 0
        while not drafts.next(token_ids, 1):
            steps += 1
        waited.append(steps)
        drafts.note(0)
    assert waited == [0, 1, 3, 7, 15, 31, LONGEST_REST, LONGEST_REST, LONGEST_REST]
    while not drafts.next(token_ids, 1):
        pass
    drafts.note(1)
    assert drafts.next(token_ids, 1)


def test_answers_are_those_of_generate_in_fewer_steps(base, tmp_path, monkeypatch):
    """A tiny random model soon repeats itself, so most is guessed; and now and then wrongly."""
    adapters = [None, *(make_adapter(base, tmp_path / f"a{seed}", seed) for seed in (1, 2))]
    requests = [ask(p, adapters[i % 3], 60 + i) for i, p in enumerate(PROMPTS[:6])]
    with Engine(base, "fp32", max_sequences=3) as engine:
        guessed, right = count_guesses(monkeypatch)
        answers = engine.generate(requests)
    for request, answer in zip(requests, answers, strict=True):
        prompt = request.messages[0]["content"]
        expected = reference_token_ids(base, request.adapter, prompt, request.max_new_tokens)
        assert answer.token_ids == expected, prompt
    assert 50 < sum(right) < sum(guessed)


@pytest.mark.parametrize(
    "options", [{"temperature": 0.8}, {"stop": ("never",)}, {"top_logprobs": 1}]
)
def test_nothing_is_guessed_where_each_token_is_looked_at(base, monkeypatch, options):
    with Engine(base, "fp32") as engine:
        guessed, _right = count_guesses(monkeypatch)
        messages = [{"role": "user", "content": PROMPTS[0]}]
        engine.generate([GenerationRequest(messages, max_new_tokens=60, **options)])
    assert not guessed


def test_nothing_is_guessed_while_a_prompt_is_read(base):
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        writer, reader = (
            SequenceState(GenerationRequest([]), prompt, BASE, 100, frozenset())
            for prompt in ([1, 2, 3, 4, 5], [9] * 1000)
        )
        decoder.add([writer])
        decoder.step()
        writer.output_token_ids[:] = [1, 2, 3]
        writer.cached_tokens = writer.length - 1
        assert decoder._drafts()
        decoder.add([reader])
        assert not decoder._drafts()


def count_guesses(monkeypatch) -> tuple[list[int], list[int]]:
    """How many tokens each draft has, and how many of them are right, from now on."""
    guessed, right, following, note = [], [], Drafts.next, Drafts.note

    def recorded_next(self, token_ids, most):
        draft = following(self, token_ids, most)
        guessed.extend([len(draft)] if draft else [])
        return draft

    def recorded_note(self, count):
        right.append(count)
        note(self, count)

    monkeypatch.setattr(Drafts, "next", recorded_next)
    monkeypatch.setattr(Drafts, "note", recorded_note)
    return guessed, right
