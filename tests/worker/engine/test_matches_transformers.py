"""In fp32 an answer never depends on what shares its batch: it equals plain `generate`."""

import json
import shutil

import pytest

from tests.starter import FOLDER as STARTER
from tests.starter import needs_starter
from tests.worker.engine.tiny_models import CONFIGS, make_adapter, make_base
from tests.worker.engine.transformers_reference import PROMPTS, ask, plain_answer
from worker.engine.engine import Engine


@pytest.mark.parametrize("kind", [kind for kind in CONFIGS if kind != "mamba"])
def test_mixed_adapters_in_one_batch_answer_as_alone(kind, tmp_path):
    base = make_base(tmp_path / "base", kind)
    targets = [None, *(make_adapter(base, tmp_path / f"a{seed}", seed) for seed in (1, 2))]
    # Answers of different lengths leave and join all the time: five places for eight requests.
    requests = [ask(p, targets[i % 3], 8 + 5 * (i % 4)) for i, p in enumerate(PROMPTS)]
    with Engine(base, "fp32", max_sequences=5) as engine:
        assert engine.uses_slot_decoder
        answers = engine.generate(requests)
    for i, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        wanted = plain_answer(base, request.adapter, PROMPTS[i], request.max_new_tokens)
        assert answer.token_ids == wanted, f"row {i}"
    assert len({tuple(answer.token_ids) for answer in answers}) == len(answers)


def test_adapters_of_different_shapes_share_a_batch(base, tmp_path):
    shapes = [
        {},
        {"r": 2},
        {"target_modules": ["q_proj", "v_proj"]},
        {"rank_pattern": {"up_proj": 8}},
    ]
    folders = [make_adapter(base, tmp_path / f"a{n}", n, **one) for n, one in enumerate(shapes)]
    targets = [*folders, None]
    requests = [ask(p, targets[i % 5], 4 + 3 * i) for i, p in enumerate(PROMPTS)]
    with Engine(base, "fp32") as engine:
        assert engine.uses_llama_forward
        answers = engine.generate(requests)
        fewer = engine.generate(requests[:2])  # what is stacked for all serves two as well
    for request, answer in zip(requests + requests[:2], answers + fewer, strict=True):
        prompt = request.messages[0]["content"]
        wanted = plain_answer(base, request.adapter, prompt, request.max_new_tokens)
        assert answer.token_ids == wanted, prompt


@pytest.mark.parametrize(("kind", "own"), [("llama", True), ("qwen2", True), ("mistral", False)])
def test_our_forward_pass_is_used_only_where_the_probe_agrees(kind, own, tmp_path, monkeypatch):
    base = make_base(tmp_path, kind)
    with Engine(base, "fp32") as engine:
        assert engine.uses_llama_forward == own
    monkeypatch.setattr("worker.engine.llama_forward.rotate", lambda x, cos, sin: x)  # a fault
    with Engine(base, "fp32") as engine:
        assert engine.uses_slot_decoder
        assert not engine.uses_llama_forward
        answer = engine.generate([ask(PROMPTS[1], None, 8)])[0]
    assert answer.token_ids == plain_answer(base, None, PROMPTS[1], 8)


def test_a_recurrent_model_is_served_by_generate(tmp_path):
    base = make_base(tmp_path, "mamba")
    with Engine(base, "fp32") as engine:
        assert not engine.uses_slot_decoder
        answers = engine.generate([ask(p, None, 12) for p in PROMPTS[:4]])
    for prompt, answer in zip(PROMPTS, answers, strict=False):
        assert answer.token_ids == plain_answer(base, None, prompt, 12)


def test_a_models_own_repetition_penalty_is_ignored(tmp_path):
    base, fussy = tmp_path / "base", tmp_path / "fussy"
    shutil.copytree(make_base(base, "mamba"), fussy)
    habits = json.loads((fussy / "generation_config.json").read_text())
    habits |= {"repetition_penalty": 1.5, "eos_token_id": 256}
    (fussy / "generation_config.json").write_text(json.dumps(habits))
    wanted = plain_answer(base, None, PROMPTS[1], 12)
    assert plain_answer(fussy, None, PROMPTS[1], 12) != wanted
    with Engine(fussy, "fp32") as engine:
        assert engine.generate([ask(PROMPTS[1], None, 12)])[0].token_ids == wanted
        assert engine.loaded.eos_token_ids == {256, 257}  # where it ends is still its own to say


@pytest.mark.parametrize(
    "lora",
    [
        {"use_rslora": True},
        {"target_modules": ["q_proj", "v_proj"]},
        {"rank_pattern": {"q_proj": 8}, "alpha_pattern": {"q_proj": 2}},
    ],
    ids=["rslora", "two layers", "patterns"],
)
def test_adapter_settings_are_applied(base, tmp_path, engine, lora):
    adapter = make_adapter(base, tmp_path, 5, **lora)
    for prompt in PROMPTS[:3]:
        answer = engine.generate([ask(prompt, adapter, 16)])[0]
        assert answer.token_ids == plain_answer(base, adapter, prompt, 16)


@pytest.mark.long
@needs_starter
def test_the_starter_answers_as_with_generate(tmp_path):
    adapter = make_adapter(STARTER, tmp_path, 3, init_lora_weights=True)
    requests = [ask(p, adapter if i % 2 else None, 8) for i, p in enumerate(PROMPTS[:4])]
    with Engine(STARTER, "fp32") as engine:
        answers = engine.generate(requests)
    for i, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        wanted = plain_answer(STARTER, request.adapter, PROMPTS[i], 8)
        assert answer.token_ids == wanted, f"row {i}"
