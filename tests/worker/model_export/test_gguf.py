"""The GGUF file as others read it: its head, its words, its tensors; and the Modelfile."""

import numpy as np
import pytest
from gguf import GGUFReader, TokenType
from tokenizers import Regex, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

from tests.worker.engine.tiny_models import TEMPLATE
from tests.worker.engine.tiny_models import tokenizer as make_tokenizer
from tests.worker.training.chat_template import CHATML
from worker.channel import UserError
from worker.model_export import gguf_file, merged, ollama
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
    words = vocabulary_of(load_tokenizer(base), model.config.vocab_size)
    path = tmp_path / "model.gguf"
    about = {"name": "Sort", "description": "d", "licence": "mit", "base": "Tiny"}
    gguf_file.write(path, model, words, "q8_0", about)
    return request.param, model, GGUFReader(path)


def value(reader, key):
    return reader.fields[key].contents()


def test_its_head_says_what_it_is(written):
    kind, model, reader = written
    assert value(reader, "general.architecture") == kind
    assert value(reader, "general.license") == "mit"
    assert value(reader, f"{kind}.attention.head_count") == 4
    assert value(reader, f"{kind}.attention.head_count_kv") == 2
    assert value(reader, f"{kind}.rope.freq_base") == pytest.approx(10_000)
    assert value(reader, f"{kind}.attention.layer_norm_rms_epsilon") == pytest.approx(
        model.config.rms_norm_eps
    )


def test_its_words_are_the_tokenizers(written):
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


def test_every_tensor_is_there_and_only_long_rows_are_rounded(written):
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


def test_turning_q_and_k_is_what_llama_cpp_expects():
    """One head of four rows: (0, 1 | 2, 3) of two halves become neighbours (0, 2), (1, 3)."""
    rows = np.arange(8).reshape(8, 1)
    assert gguf_file.permuted(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


PRE = {
    "gpt-2": ByteLevel(add_prefix_space=False),
    "smollm": Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]),
    "llama-bpe": Sequence(
        [Split(Regex(LLAMA_3), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
    "qwen2": Sequence(
        [Split(Regex(QWEN_2), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
}


@pytest.mark.parametrize("name", PRE)
def test_the_way_of_cutting_text_has_its_name(name):
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = PRE[name]
    assert vocabulary_of(tokenizer, 258).pre == name


@pytest.mark.parametrize(
    "rule", [pre_tokenizers.Whitespace(), ByteLevel(add_prefix_space=True), Digits()]
)
def test_an_unknown_way_of_cutting_text_is_refused(rule):
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = rule
    with pytest.raises(UserError, match="merged model"):
        vocabulary_of(tokenizer, 258)


def test_a_padded_embedding_gets_words_that_nobody_says():
    words = vocabulary_of(make_tokenizer(), 264)
    assert words.tokens[258:] == [f"[PAD{n}]" for n in range(258, 264)]
    assert set(words.types[258:]) == {TokenType.UNUSED}


@pytest.mark.parametrize("template", [TEMPLATE, CHATML, LLAMA_TEMPLATE])
def test_a_modelfile_asks_as_it_was_tested(template):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    tokenizer.bos_token = "<|start|>"
    bos = "<|start|>" if "bos_token" in template else ""
    text = ollama.modelfile(tokenizer, "shop.gguf", bos=bos, context=4096)
    assert text.startswith("FROM ./shop.gguf\n")
    assert "PARAMETER temperature 0\n" in text
    assert "PARAMETER repeat_penalty 1\n" in text
    assert 'PARAMETER stop "<|end|>"' in text or 'PARAMETER stop "<|im_end|>"' in text
    assert ("Be kind" in text) == ("Be kind" in template)
    turns = ollama.read_turns(tokenizer)
    talk = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ho"},
        {"role": "user", "content": "Who?"},
    ]
    wanted = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert turns.text(talk) == wanted
    if bos:
        assert '"""<|start|>' not in text  # llama.cpp adds it by itself


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ loop.index }}: {{ m['content'] }}\n{% endfor %}",
        "{{ messages[-1]['content'] }}>",
        "{{ raise_exception('no') }}",
        "{% for m in messages %}{{ '{{' + m['role'] + '}}' + m['content'] }}\n{% endfor %}",
    ],
)
def test_a_template_that_does_more_has_no_modelfile(template):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    assert ollama.modelfile(tokenizer, "shop.gguf", bos="", context=4096) is None


def test_the_go_template_says_the_words_of_instructions_only_where_there_are_none():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = CHATML
    text = ollama.modelfile(tokenizer, "m.gguf", bos="", context=64)
    first = '{{ if and .Messages (ne (index .Messages 0).Role "system") }}'
    assert first + "<|im_start|>system\nBe kind" in text
