"""OpenVINO computes a model where it is installed and does it right; else our own forward pass."""

import logging
import sys

import pytest

from finetune_app.core.openvino_installation import has_vnni
from tests.worker.engine.tiny_models import make_adapter, make_base
from tests.worker.engine.transformers_reference import PROMPTS, ask, reference_token_ids
from worker.engine.chunked_decoder import ChunkedDecoder
from worker.engine.engine import Engine


def decoder_of(engine: Engine) -> str:
    return type(engine._decoder).__name__


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("llama", "OpenvinoDecoder"), ("qwen2", "OpenvinoDecoder"), ("gemma2", "PaddedDecoder")],
)
def test_models_of_llamas_kind(kind, expected, tmp_path):
    base = make_base(tmp_path, kind)
    with Engine(base, "fp32") as engine:
        assert decoder_of(engine) == expected


def test_it_can_be_switched_off(base, monkeypatch):
    monkeypatch.setenv("OPENVINO", "off")
    with Engine(base, "fp32") as engine:
        assert decoder_of(engine) == "ChunkedDecoder"


def test_not_without_memory_for_its_copy_of_the_weights(base, monkeypatch):
    monkeypatch.setattr("worker.engine.decoder.fits_second_copy", lambda weights: False)
    with Engine(base, "fp32") as engine:
        assert decoder_of(engine) == "ChunkedDecoder"


def test_a_wrong_result_is_seen_when_the_model_is_loaded(base, monkeypatch, caplog):
    from worker.engine.openvino.graph import _Builder

    monkeypatch.setattr(_Builder, "_rotate", lambda self, x, heads: x)
    with Engine(base, "fp32") as engine, caplog.at_level(logging.WARNING):
        assert type(engine._decoder) is ChunkedDecoder
        answer = engine.generate([ask(PROMPTS[1], None, 8)])[0]
    assert answer.token_ids == reference_token_ids(base, None, PROMPTS[1], 8)


def test_an_openvino_of_another_version_costs_only_speed(base, monkeypatch, caplog):
    for name in [name for name in sys.modules if name.startswith("worker.engine.openvino.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("openvino.op._PagedAttentionExtension")
    with Engine(base, "fp32") as engine:
        assert type(engine._decoder) is ChunkedDecoder
    assert "OpenVINO cannot be used" in caplog.text


def test_a_graph_that_openvino_refuses_costs_only_speed(base, monkeypatch):
    def refuse(*args):
        raise RuntimeError("no such operation")

    monkeypatch.setattr("worker.engine.openvino.forward.build", refuse)
    with Engine(base, "fp32") as engine:
        assert type(engine._decoder) is ChunkedDecoder


def test_bf16_answers_with_adapters(base, tmp_path):
    adapter = make_adapter(base, tmp_path, 1)
    with Engine(base, "bf16") as engine:  # a processor without bf16 may leave it to us
        assert decoder_of(engine) in ("OpenvinoDecoder", "ChunkedDecoder")
        engine.check_adapter(adapter)
        plain, tuned = engine.generate([ask(PROMPTS[0], one, 12) for one in (None, adapter)])
    assert plain.token_ids != tuned.token_ids


def test_an_adapter_that_is_trained_again_is_applied_as_it_is_now(base, tmp_path):
    with Engine(base, "fp32") as engine:
        for seed in (1, 2):
            adapter = make_adapter(base, tmp_path / "adapter", seed)
            answer = engine.generate([ask(PROMPTS[0], adapter, 12)])[0]
            same = make_adapter(base, tmp_path / f"same{seed}", seed)  # references are kept by name
            assert answer.token_ids == reference_token_ids(base, same, PROMPTS[0], 12)


@pytest.mark.skipif(not has_vnni(), reason="OpenVINO refuses 8 bits on a processor without VNNI")
def test_weights_in_8_bits_are_multiplied_as_they_are(base):
    """No copy of them in another format is kept: that is what makes it quicker."""
    with Engine(base, "int8") as engine:
        assert decoder_of(engine) == "OpenvinoDecoder"
        requests = engine._decoder._forward._requests
        graph = requests.first.compiled.get_runtime_model()
    operations = [one.get_rt_info() for one in graph.get_ordered_ops()]
    kept = [one for one in operations if one["layerType"].astype(str) == "Const"]
    in_8_bits = [one for one in kept if one["outputPrecisions"].astype(str) == "i8"]
    layers = engine.loaded.model.config.num_hidden_layers
    assert len(in_8_bits) == 4 * layers + 1
