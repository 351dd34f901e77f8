"""Metadata, vocabulary and tensors of a GGUF file; the Modelfile."""

import numpy as np
import pytest
from gguf import GGUFReader, TokenType
from tokenizers import Regex, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
from transformers import LlamaConfig, MistralConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from finetune_app.model_export import presenters
from tests.worker.engine.tiny_models import TEMPLATE
from tests.worker.engine.tiny_models import tokenizer as make_tokenizer
from tests.worker.model_export.conftest import ABOUT
from tests.worker.training.chat_template import CHATML
from worker.channel import UserError
from worker.model_export import gguf_architecture, gguf_file, merged, ollama
from worker.model_export.vocabulary import LLAMA_3, QWEN_2, vocabulary_of
from worker.template import load_tokenizer

LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|head|>{{ m['role'] }}<|/head|>\n\n"
    "{{ m['content'] | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)


@pytest.fixture(params=["llama", "qwen2"])
def written(request, tuned, tmp_path):
    base, adapter = tuned(request.param)
    model = merged.merge(merged.load_tuned(base, adapter))
    vocabulary = vocabulary_of(load_tokenizer(base), model.config.vocab_size)
    path = tmp_path / "model.gguf"
    gguf_file.write(path, model, vocabulary, "q8_0", ABOUT)
    return request.param, model, GGUFReader(path)


def value(reader, key):
    return reader.fields[key].contents()


def test_write_sets_the_metadata(written):
    kind, model, reader = written
    assert value(reader, "general.architecture") == kind
    assert value(reader, "general.license") == "apache-2.0"
    assert value(reader, f"{kind}.attention.head_count") == 4
    assert value(reader, f"{kind}.attention.head_count_kv") == 2
    assert value(reader, f"{kind}.rope.freq_base") == pytest.approx(10_000)
    assert value(reader, f"{kind}.attention.layer_norm_rms_epsilon") == pytest.approx(
        model.config.rms_norm_eps
    )


def test_write_sets_the_vocabulary(written):
    _kind, _model, reader = written
    assert value(reader, "tokenizer.ggml.model") == "gpt2"
    tokens = value(reader, "tokenizer.ggml.tokens")
    assert tokens[256:258] == ["<|start|>", "<|end|>"]
    types = value(reader, "tokenizer.ggml.token_type")
    assert types[0] == TokenType.NORMAL
    assert types[256] == TokenType.CONTROL
    assert value(reader, "tokenizer.chat_template") == TEMPLATE
    assert value(reader, "tokenizer.ggml.eot_token_id") == 257
    assert value(reader, "tokenizer.ggml.add_bos_token") is False


def test_write_keeps_each_of_several_templates(tuned, tmp_path):
    base, adapter = tuned("llama")
    model = merged.merge(merged.load_tuned(base, adapter))
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = {"default": TEMPLATE, "tool_use": LLAMA_TEMPLATE}
    path = tmp_path / "model.gguf"
    vocabulary = vocabulary_of(tokenizer, model.config.vocab_size)
    gguf_file.write(path, model, vocabulary, "f16", ABOUT)
    reader = GGUFReader(path)
    assert value(reader, "tokenizer.chat_template") == TEMPLATE
    assert value(reader, "tokenizer.chat_template.tool_use") == LLAMA_TEMPLATE


def test_write_quantises_rows_that_are_multiples_of_32(written):
    kind, model, reader = written
    names = {tensor.name: tensor for tensor in reader.tensors}
    assert len(names) == len(model.state_dict())
    assert ("blk.0.attn_q.bias" in names) == (kind == "qwen2")
    assert names["blk.1.attn_norm.weight"].tensor_type.name == "F32"
    assert names["blk.1.ffn_down.weight"].tensor_type.name == "Q8_0"  # rows of 96
    assert names["blk.1.ffn_up.weight"].tensor_type.name == "F16"  # rows of 48
    if kind == "qwen2":
        bias = model.model.layers[0].self_attn.q_proj.bias.detach().numpy()
        assert np.array_equal(names["blk.0.attn_q.bias"].data, bias)


def test_permute_for_rope_orders_rows_for_llama_cpp():
    """The halves (0, 1) and (2, 3) of a head of four rows become neighbours: (0, 2), (1, 3)."""
    rows = np.arange(8).reshape(8, 1)
    assert gguf_file.permute_for_rope(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


PRE_TOKENIZERS = {
    "gpt-2": ByteLevel(add_prefix_space=False),
    "smollm": Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]),
    "llama-bpe": Sequence(
        [Split(Regex(LLAMA_3), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
    "qwen2": Sequence(
        [Split(Regex(QWEN_2), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
}


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_convert_known_pre_tokenizer_finds_its_name(name):
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = PRE_TOKENIZERS[name]
    assert vocabulary_of(tokenizer, 258).pre == name


@pytest.mark.parametrize(
    "rule", [pre_tokenizers.Whitespace(), ByteLevel(add_prefix_space=True), Digits()]
)
def test_convert_unknown_pre_tokenizer_raises(rule):
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = rule
    with pytest.raises(UserError, match="merged model"):
        vocabulary_of(tokenizer, 258)


def test_convert_for_padded_embedding_adds_unused_tokens():
    vocabulary = vocabulary_of(make_tokenizer(), 264)
    assert vocabulary.tokens[258:] == [f"[PAD{n}]" for n in range(258, 264)]
    assert set(vocabulary.types[258:]) == {TokenType.UNUSED}


@pytest.mark.parametrize("template", [TEMPLATE, CHATML, LLAMA_TEMPLATE])
def test_modelfile_has_the_tested_template_and_settings(template):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    tokenizer.bos_token = "<|start|>"
    bos_token = "<|start|>" if "bos_token" in template else ""
    text = ollama.modelfile(tokenizer, "shop.gguf", bos_token=bos_token, context_length=4096)
    assert text.startswith("FROM ./shop.gguf\n")
    assert "PARAMETER temperature 0\n" in text
    assert "PARAMETER repeat_penalty 1\n" in text
    assert 'PARAMETER stop "<|end|>"' in text or 'PARAMETER stop "<|im_end|>"' in text
    assert ("Be kind" in text) == ("Be kind" in template)
    derived = ollama.derive_template(tokenizer)
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ho"},
        {"role": "user", "content": "Who?"},
    ]
    wanted = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert derived.render(messages) == wanted
    if bos_token:
        assert '"""<|start|>' not in text  # llama.cpp adds it


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ loop.index }}: {{ m['content'] }}\n{% endfor %}",
        "{{ messages[-1]['content'] }}>",
        "{{ raise_exception('no') }}",
        "{% for m in messages %}{{ '{{' + m['role'] + '}}' + m['content'] }}\n{% endfor %}",
    ],
)
def test_modelfile_for_an_unsupported_template_is_none(template):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    assert ollama.modelfile(tokenizer, "shop.gguf", bos_token="", context_length=4096) is None


def test_modelfile_adds_the_default_system_message_only_without_one():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = CHATML
    text = ollama.modelfile(tokenizer, "m.gguf", bos_token="", context_length=64)
    condition = '{{ if and .Messages (ne (index .Messages 0).Role "system") }}'
    assert condition + "<|im_start|>system\nBe kind" in text


def test_the_frequencies_of_llama_3_are_divided_as_llama_cpp_does():
    """Short waves stay, long ones are stretched by the whole factor, those between in part."""
    config = LlamaConfig(
        hidden_size=64,
        num_attention_heads=1,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 1024,
        },
    )
    factors = gguf_architecture.llama3_rope_factors(config)
    assert factors.shape == (32,)
    assert factors[0] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(8.0, rel=1e-5)
    assert any(1.5 < factor < 7.5 for factor in factors.tolist())


def test_a_mistral_whose_attention_slides_is_refused():
    gguf_architecture.require_supported(MistralConfig(sliding_window=None))
    with pytest.raises(UserError, match="parts that are not written here"):
        gguf_architecture.require_supported(MistralConfig(sliding_window=4096))


def test_the_page_offers_gguf_for_the_architectures_that_are_written():
    written = {MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[name] for name in gguf_architecture.ARCHITECTURES}
    assert written == presenters.GGUF_ARCHITECTURES
