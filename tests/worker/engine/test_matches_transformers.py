"""In fp32 an answer does not depend on its batch, and equals that of transformers' `generate`."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.starter import FOLDER as STARTER
from tests.starter import needs_starter
from tests.worker.engine.tiny_models import CONFIGS, make_adapter, make_base
from tests.worker.engine.transformers_reference import PROMPTS, ask, reference_token_ids
from worker.engine.engine import Engine
from worker.engine.generate_decoder import GenerateDecoder
from worker.engine.padded_decoder import PaddedDecoder
from worker.engine.slot_decoder import SlotDecoder


@pytest.fixture(scope="module")
def model_with_adapters(tmp_path_factory) -> Callable[[str], tuple[Path, list[Path]]]:
    """A base model of a kind and two adapters, made once: what transformers answers is kept."""

    @cache
    def made(kind: str) -> tuple[Path, list[Path]]:
        folder = tmp_path_factory.mktemp(kind)
        base = make_base(folder / "base", kind)
        return base, [make_adapter(base, folder / f"a{seed}", seed) for seed in (1, 2)]

    return made


@pytest.mark.parametrize("kind", [kind for kind in CONFIGS if kind != "mamba"])
def test_a_batch_of_mixed_adapters_gives_the_answers_of_single_requests(
    kind, model_with_adapters, computed_by
):
    base, adapters = model_with_adapters(kind)
    request_adapters = [None, *adapters]
    # Of different lengths, so that requests join and leave a batch of five.
    requests = [ask(p, request_adapters[i % 3], 8 + 5 * (i % 4)) for i, p in enumerate(PROMPTS)]
    with Engine(base, "fp32", max_sequences=5) as engine:
        assert isinstance(engine._decoder, SlotDecoder)
        answers = engine.generate(requests)
    for i, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        expected = reference_token_ids(base, request.adapter, PROMPTS[i], request.max_new_tokens)
        assert answer.token_ids == expected, f"request {i}"
    assert len({tuple(answer.token_ids) for answer in answers}) == len(answers)


def test_adapters_of_different_shapes_share_a_batch(base, tmp_path, computed_by):
    shapes = [
        {},
        {"r": 2},
        {"target_modules": ["q_proj", "v_proj"]},
        {"rank_pattern": {"up_proj": 8}},
    ]
    folders = [make_adapter(base, tmp_path / f"a{n}", n, **one) for n, one in enumerate(shapes)]
    request_adapters = [*folders, None]
    requests = [ask(p, request_adapters[i % 5], 4 + 3 * i) for i, p in enumerate(PROMPTS)]
    with Engine(base, "fp32") as engine:
        assert engine.uses_fast_forward
        answers = engine.generate(requests)
        fewer = engine.generate(requests[:2])  # with the stacked weights of the larger batch
    for request, answer in zip(requests + requests[:2], answers + fewer, strict=True):
        prompt = request.messages[0]["content"]
        expected = reference_token_ids(base, request.adapter, prompt, request.max_new_tokens)
        assert answer.token_ids == expected, prompt


@pytest.mark.parametrize(("kind", "own"), [("llama", True), ("qwen2", True), ("mistral", False)])
def test_llama_forward_is_used_only_if_the_probe_agrees(kind, own, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENVINO", "off")
    base = make_base(tmp_path, kind)
    with Engine(base, "fp32") as engine:
        assert engine.uses_fast_forward == own
    monkeypatch.setattr("worker.engine.llama_forward.rotate", lambda x, cos, sin: x)  # a fault
    with Engine(base, "fp32") as engine:
        assert isinstance(engine._decoder, PaddedDecoder)
        assert not engine.uses_fast_forward
        answer = engine.generate([ask(PROMPTS[1], None, 8)])[0]
    assert answer.token_ids == reference_token_ids(base, None, PROMPTS[1], 8)


def test_a_recurrent_model_is_served_by_generate(tmp_path):
    base = make_base(tmp_path, "mamba")
    with Engine(base, "fp32") as engine:
        assert isinstance(engine._decoder, GenerateDecoder)
        answers = engine.generate([ask(p, None, 12) for p in PROMPTS[:4]])
    for prompt, answer in zip(PROMPTS, answers, strict=False):
        assert answer.token_ids == reference_token_ids(base, None, prompt, 12)


def test_a_models_own_repetition_penalty_is_ignored(tmp_path):
    base, penalised = tmp_path / "base", tmp_path / "penalised"
    shutil.copytree(make_base(base, "mamba"), penalised)
    config = json.loads((penalised / "generation_config.json").read_text())
    config |= {"repetition_penalty": 1.5, "eos_token_id": 256}
    (penalised / "generation_config.json").write_text(json.dumps(config))
    expected = reference_token_ids(base, None, PROMPTS[1], 12)
    assert reference_token_ids(penalised, None, PROMPTS[1], 12) != expected
    with Engine(penalised, "fp32") as engine:
        assert engine.generate([ask(PROMPTS[1], None, 12)])[0].token_ids == expected
        assert engine.loaded.eos_token_ids == {256, 257}  # its end tokens still count


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
        assert answer.token_ids == reference_token_ids(base, adapter, prompt, 16)


@pytest.mark.long
@needs_starter
def test_answers_of_the_starter_equal_those_of_generate(tmp_path):
    adapter = make_adapter(STARTER, tmp_path, 3, init_lora_weights=True)
    requests = [ask(p, adapter if i % 2 else None, 8) for i, p in enumerate(PROMPTS[:4])]
    with Engine(STARTER, "fp32") as engine:
        answers = engine.generate(requests)
    for i, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        expected = reference_token_ids(STARTER, request.adapter, PROMPTS[i], 8)
        assert answer.token_ids == expected, f"request {i}"
