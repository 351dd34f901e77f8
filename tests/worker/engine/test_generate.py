"""Streaming, stop strings, sampling, cancellation, batching, and errors of the engine."""

import json
import threading
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from tests.worker.engine.generation_requests import ask, take_decoder
from tests.worker.engine.tiny_models import make_adapter, make_base
from tests.worker.engine.transformers_reference import reference_logprobs
from worker.engine import model_loader
from worker.engine.adapters import BadAdapter
from worker.engine.engine import Engine
from worker.engine.model_loader import BadModel
from worker.engine.requests import EngineFailed, PromptTooLong
from worker.engine.sequences import SequenceState


def test_streamed_text_adds_up_to_the_answer(engine):
    handle = engine.submit(ask(max_new_tokens=40))
    pieces = list(handle)
    assert len(pieces) > 1
    assert "".join(pieces) == handle.completion.text
    assert handle.completion.tokens == len(handle.completion.token_ids) <= 40


def test_a_request_joins_a_running_batch(engine):
    alone = engine.generate([ask("Second", max_new_tokens=20)])[0]
    first = engine.submit(ask("First", max_new_tokens=200))
    next(iter(first))
    second = engine.submit(ask("Second", max_new_tokens=20)).result()
    assert second.token_ids == alone.token_ids
    assert first.result().tokens == 200 or first.completion.finish_reason == "stop"


def test_an_answer_ends_before_its_stop_string(engine):
    whole = engine.generate([ask(max_new_tokens=40)])[0].text
    stop = whole[20:23]
    handle = engine.submit(ask(max_new_tokens=40, stop=(stop,)))
    streamed = "".join(handle)
    assert streamed == handle.completion.text == whole[: whole.index(stop)]
    assert handle.completion.finish_reason == "stop"


def test_a_seed_gives_the_same_answer_in_any_batch(engine):
    sampled = ask(max_new_tokens=30, temperature=1.0, top_p=0.9, seed=5)
    alone = engine.generate([sampled])[0]
    different = ask(max_new_tokens=30, temperature=1.0, seed=6)
    in_batch = engine.generate([ask("x"), different, sampled])
    assert in_batch[2].token_ids == alone.token_ids
    assert in_batch[1].token_ids != alone.token_ids


def test_a_tiny_top_p_gives_the_greedy_answer(engine):
    greedy = engine.generate([ask(max_new_tokens=20)])[0]
    sampled = engine.generate([ask(max_new_tokens=20, temperature=1.0, top_p=1e-6)])[0]
    assert sampled.token_ids == greedy.token_ids


@pytest.mark.parametrize("temperature", [1e-40, 1e-6])
def test_a_tiny_temperature_gives_the_greedy_answer(engine, temperature):
    greedy, other = engine.generate([ask(max_new_tokens=20), ask("Other", max_new_tokens=20)])
    tiny = ask(max_new_tokens=20, temperature=temperature)
    answers = engine.generate([tiny, ask("Other", max_new_tokens=20)])
    assert [one.token_ids for one in answers] == [greedy.token_ids, other.token_ids]


def test_sampling_that_fails_ends_only_its_own_answer(base, computed_by):
    nothing_to_draw = ask(temperature=1.0, top_p=0.0)
    with Engine(base, "fp32") as engine:
        alone = engine.generate([ask("Stay", max_new_tokens=20)])[0]
        failing = engine.submit(nothing_to_draw)
        other = engine.submit(ask("Stay", max_new_tokens=20))
        with pytest.raises(EngineFailed, match="broke down"):
            failing.result()
        assert other.result().token_ids == alone.token_ids


def test_cancelling_an_answer_does_not_change_the_others(engine):
    alone = engine.generate([ask("Stay", max_new_tokens=60)])[0]
    cancelled = engine.submit(ask("Go", max_new_tokens=400))
    other = engine.submit(ask("Stay", max_new_tokens=60))
    next(iter(cancelled))
    cancelled.cancel()
    assert cancelled.result().finish_reason in {"cancelled", "stop"}
    assert cancelled.completion.tokens < 400
    assert other.result().token_ids == alone.token_ids
    assert not engine._handles
    assert not engine._queue


def test_cancelling_ends_an_answer_of_the_generate_decoder(tmp_path):
    base = make_base(tmp_path, "mamba")
    with Engine(base, "fp32") as engine:
        assert engine.generate([ask(max_new_tokens=200)])[0].tokens == 200
        handles = []

        def cancel_all(*_) -> None:
            for handle in handles:
                handle.cancel()

        engine.loaded.model.register_forward_hook(cancel_all)
        handles.append(engine.submit(ask(max_new_tokens=200)))
        assert handles[0].result().finish_reason == "cancelled"
    assert handles[0].completion.tokens < 200


def test_answers_that_are_all_cancelled_before_their_first_step_fail_no_others(tmp_path):
    base = make_base(tmp_path, "mamba")
    with Engine(base, "fp32") as engine:
        decoder = take_decoder(engine)
        gone = engine.submit(ask("Go", max_new_tokens=4))
        add = decoder.add
        decoder.add = lambda sequences: (add(sequences), gone.cancel())
        with torch.inference_mode():
            engine.take_turn()
            waiting = engine.submit(ask("Stay", max_new_tokens=4))
            engine.take_turn()
        assert gone.result().finish_reason == "cancelled"
        assert waiting.result().tokens


def test_requests_wait_while_the_kv_cache_has_no_free_memory(base, computed_by):
    with Engine(base, "fp32") as engine:
        alone = engine.generate([ask(max_new_tokens=20)])[0]
        tokens = engine._decoder.cache.tokens_for([alone.prompt_tokens + 20] * 4)
        engine._cache_bytes = tokens * engine._bytes_per_token
        batch_sizes = []
        step = engine._decoder.step
        engine._decoder.step = lambda: (batch_sizes.append(len(engine._decoder.sequences)), step())
        answers = engine.generate([ask(max_new_tokens=20)] * 7)
    assert max(batch_sizes) == 4
    assert all(answer.token_ids == alone.token_ids for answer in answers)


def test_an_answer_ends_at_the_context_length(engine):
    prompt = "x" * (engine.loaded.context_length - 60)
    answer = engine.generate([ask(prompt, max_new_tokens=400)])[0]
    assert answer.prompt_tokens + answer.tokens <= engine.loaded.context_length
    with pytest.raises(PromptTooLong, match="Shorten it"):
        engine.submit(ask("x" * engine.loaded.context_length))


def test_adapters_above_the_limit_are_evicted_and_loaded_again(base, tmp_path):
    folders = [make_adapter(base, tmp_path / str(seed), seed) for seed in range(3)]
    with Engine(base, "fp32", adapters_kept=2) as engine:
        first = engine.generate([ask(adapter=folders[0], max_new_tokens=10)])[0]
        engine.generate([ask(adapter=folder, max_new_tokens=4) for folder in folders[1:]])
        assert engine.adapters.names == [str(folder) for folder in folders[1:]]
        again = engine.generate([ask(adapter=folders[0], max_new_tokens=10)])[0]
    assert again.token_ids == first.token_ids


def test_an_adapter_of_another_model_fails_only_its_request(engine, tmp_path):
    other = make_base(tmp_path / "neox", "gpt_neox")
    adapter = make_adapter(other, tmp_path / "adapter", 1)
    with pytest.raises(BadAdapter, match="another model"):
        engine.generate([ask(adapter=adapter)])
    dora = make_adapter(engine.loaded.folder, tmp_path / "dora", 1, use_dora=True)
    with pytest.raises(BadAdapter, match="use_dora"):
        engine.generate([ask(adapter=dora)])
    assert engine.generate([ask(max_new_tokens=4)])[0].tokens


def test_a_folder_with_program_code_is_not_loaded(tmp_path):
    make_base(tmp_path, "llama")
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("{", '{"auto_map": {},', 1))
    with pytest.raises(BadModel, match="program code"):
        Engine(tmp_path)


def test_a_truncated_weights_file_is_reported(tmp_path):
    weights = make_base(tmp_path, "llama") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(BadModel, match="install it again"):
        Engine(tmp_path, "fp32")


def test_a_failed_step_fails_every_request_and_the_engine_continues(base):
    with Engine(base, "fp32") as engine:
        step = engine._decoder.step
        engine._decoder.step = lambda: 1 / 0
        handles = [engine.submit(ask(str(i))) for i in range(3)]
        for handle in handles:
            with pytest.raises(EngineFailed, match="broke down"):
                handle.result()
        engine._decoder.step = step
        assert engine.generate([ask(max_new_tokens=4)])[0].tokens


def test_many_threads_may_submit_at_once(engine):
    alone = [engine.generate([ask(str(i), max_new_tokens=12)])[0].token_ids for i in range(12)]
    answers = {}

    def one(i: int) -> None:
        answers[i] = engine.submit(ask(str(i), max_new_tokens=12)).result().token_ids

    threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [answers[i] for i in range(12)] == alone


def test_an_incomplete_character_is_held_back(engine):
    sequence = SequenceState(ask(max_new_tokens=9), [1], "__base__", 9, frozenset())
    pieces = written_pieces(sequence, engine.loaded.tokenizer, "né€")
    assert pieces == ["n", "", "é", "", "", "€"]


@pytest.mark.parametrize("stop", ["\n€", "\n€!", "é\n€"])
def test_no_part_of_a_stop_string_is_sent_while_a_character_is_incomplete(engine, stop):
    sequence = SequenceState(ask(stop=(stop,)), [1], "__base__", 99, frozenset())
    pieces = written_pieces(sequence, engine.loaded.tokenizer, f"one{stop}")
    assert "".join(pieces) == "one"
    assert sequence.finish_reason == "stop"


def test_what_turns_out_to_be_no_stop_string_is_sent(engine):
    sequence = SequenceState(ask(stop=("\n€",)), [1], "__base__", 99, frozenset())
    pieces = written_pieces(sequence, engine.loaded.tokenizer, "a\né")
    assert pieces == ["a", "", "", "\né"]


def written_pieces(sequence: SequenceState, tokenizer, text: str) -> list[str]:
    """What is sent after each token of an answer with this text."""
    pieces = []
    for token in tokenizer(text).input_ids:
        sequence.append(token)
        pieces.append(sequence.next_text(tokenizer))
    return pieces


def test_auto_chooses_a_number_format(base):
    with Engine(base, "auto") as engine:
        assert engine.number_format in {"bf16", "fp32"}
        assert next(engine.loaded.model.parameters()).dtype == engine.loaded.dtype


@pytest.mark.parametrize(("free", "format"), [(2**40, "fp32"), (1000, "bf16")])
def test_a_model_that_does_not_fit_in_fp32_is_loaded_in_bf16(base, monkeypatch, free, format):
    monkeypatch.setattr(model_loader, "_time_layer", lambda *args: 1.0)  # both are equally fast
    monkeypatch.setattr(model_loader, "this_machine", lambda: SimpleNamespace(free_bytes=free))
    config = json.loads((base / "config.json").read_text())
    assert model_loader.choose_format(base, config, torch.device("cpu")) == format


@pytest.mark.parametrize(("width", "copies"), [(48, 3), (4096, 1), (1024, 2)])
def test_no_more_layers_are_timed_than_the_model_has(base, monkeypatch, width, copies):
    timed = []
    monkeypatch.setattr(
        model_loader,
        "_time_layer",
        lambda _width, _inner, number, *_rest: timed.append(number) or 1.0,
    )
    config = {"hidden_size": width, "intermediate_size": 10 * width, "num_hidden_layers": 3}
    model_loader.choose_format(base, config, torch.device("cpu"))
    assert timed == [copies, copies]


def test_penalties_lower_the_logits_of_written_tokens(engine, base):
    """Each token has the highest logit after the penalties of the tokens before it."""
    request = ask(max_new_tokens=30, presence_penalty=1.5, frequency_penalty=0.5)
    answer = engine.generate([request])[0]
    assert answer.token_ids != engine.generate([ask(max_new_tokens=30)])[0].token_ids
    for at, logprobs in enumerate(reference_logprobs(base, request, answer.token_ids).clone()):
        for token, times in Counter(answer.token_ids[:at]).items():
            logprobs[token] -= 1.5 + 0.5 * times
        assert int(logprobs.argmax()) == answer.token_ids[at]
