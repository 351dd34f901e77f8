"""The GGUF file of a Gemma 3: what its metadata say, its norms, and SentencePiece's vocabulary."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from gguf import GGUFReader, TokenType
from tokenizers import normalizers, pre_tokenizers

from tests.worker.model_export import tiny_gemma
from tests.worker.model_export.conftest import ABOUT
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import UserError
from worker.model_export import gguf_file, merged
from worker.model_export.gguf_architecture import require_supported
from worker.model_export.run import run
from worker.model_export.sentencepiece import token_scores
from worker.model_export.vocabulary import vocabulary_of
from worker.template import load_tokenizer


@pytest.fixture
def written(tuned, tmp_path):
    base, adapter = tuned("gemma3")
    model = merged.merge(merged.load_tuned(base, adapter))
    vocabulary = vocabulary_of(load_tokenizer(base), model.config.vocab_size)
    path = tmp_path / "model.gguf"
    gguf_file.write(path, model, vocabulary, "f16", ABOUT)
    return model, GGUFReader(path)


def value(reader, key):
    return reader.fields[key].contents()


def test_metadata_say_how_far_its_layers_read(written):
    _model, reader = written
    assert value(reader, "general.architecture") == "gemma3"
    assert value(reader, "gemma3.attention.sliding_window") == 8
    assert value(reader, "gemma3.attention.key_length") == 16
    assert value(reader, "gemma3.rope.freq_base") == pytest.approx(1_000_000)


def test_norms_hold_the_one_that_transformers_adds_in_the_model(written):
    model, reader = written
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    layer = model.model.layers[5]
    for name, norm in (
        ("blk.5.attn_norm", layer.input_layernorm),
        ("blk.5.attn_q_norm", layer.self_attn.q_norm),
        ("blk.5.post_attention_norm", layer.post_attention_layernorm),
        ("blk.5.ffn_norm", layer.pre_feedforward_layernorm),
        ("blk.5.post_ffw_norm", layer.post_feedforward_layernorm),
        ("output_norm", model.model.norm),
    ):
        assert np.allclose(tensors[f"{name}.weight"].data, norm.weight.detach().numpy() + 1), name
    assert "output.weight" not in tensors  # it is the embedding


def test_vocabulary_is_sentencepieces(written):
    _model, reader = written
    assert value(reader, "tokenizer.ggml.model") == "llama"
    assert value(reader, "tokenizer.ggml.add_space_prefix") is False
    assert value(reader, "tokenizer.ggml.add_bos_token") is True
    tokens = value(reader, "tokenizer.ggml.tokens")
    types = value(reader, "tokenizer.ggml.token_type")
    scores = value(reader, "tokenizer.ggml.scores")
    assert types[tokens.index("<end_of_turn>")] == TokenType.CONTROL
    assert types[tokens.index("<0x0A>")] == TokenType.BYTE
    assert types[tokens.index("   ")] == TokenType.USER_DEFINED  # with spaces, as it is found
    assert types[tokens.index("▁the")] == TokenType.NORMAL
    assert scores[tokens.index("▁t")] > scores[tokens.index("▁the")] > scores[tokens.index("then")]
    assert value(reader, "tokenizer.ggml.eot_token_id") == tokens.index("<end_of_turn>")


def merged_by_scores(text, vocabulary, scores):
    """As a reader merges: the neighbours that make the token of the highest score, the first of
    equals; what is no token at the end becomes its bytes."""
    parts = list(text.replace(" ", "▁"))
    while True:
        made = [left + right for left, right in pairwise(parts)]
        best = max((scores.get(one, -1e9) for one in made), default=-1e9)
        if best == -1e9:
            break
        at = next(i for i, one in enumerate(made) if scores.get(one, -1e9) == best)
        parts[at : at + 2] = [made[at]]
    pieces = []
    for part in parts:
        pieces += [part] if part in vocabulary else [f"<0x{byte:02X}>" for byte in part.encode()]
    return pieces


def test_merging_by_scores_gives_the_tokens_of_transformers():
    vocabulary, merges = tiny_gemma.vocabulary_and_merges()
    scores = token_scores(vocabulary, merges, set(tiny_gemma.SPECIAL))
    tokenizer = tiny_gemma.tokenizer()
    chance = random.Random(7)
    for _ in range(200):
        text = "".join(chance.choice("  thenigrа日é1\n") for _ in range(chance.randint(1, 30)))
        wanted = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
        assert merged_by_scores(text, vocabulary, scores) == wanted, text


def test_merges_that_no_scores_can_say_have_none():
    vocabulary, merges = tiny_gemma.vocabulary_and_merges()
    added = set(tiny_gemma.SPECIAL)
    assert token_scores(vocabulary, merges, added)
    without = [pair for pair in merges if pair != ("th", "en")]  # ("the", "n") makes it as well
    assert token_scores(vocabulary, without, added) is None
    assert token_scores(vocabulary, [("th", "en"), *without], added) is None
    assert token_scores(vocabulary | {"xyz": len(vocabulary)}, merges, added) is None
    no_byte = {text: i for text, i in vocabulary.items() if text != "<0x00>"}
    assert token_scores(no_byte, merges, added) is None


def test_a_tokenizer_that_begins_texts_without_bos_with_a_space_is_written():
    """As Mistral 7B's: a chat begins with BOS, so it reads no space that was not typed."""
    tokenizer = tiny_gemma.tokenizer()
    tokenizer.backend_tokenizer.normalizer = None
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", split=False)
    vocabulary, merges = tiny_gemma.vocabulary_and_merges()
    scores = token_scores(vocabulary, merges, set(tiny_gemma.SPECIAL))
    made = vocabulary_of(tokenizer, len(vocabulary))
    assert made.begins_with_bos
    ids = tokenizer("<bos><start_of_turn>the  hen then")["input_ids"]
    wanted = ["<bos>", "<start_of_turn>", *merged_by_scores("the  hen then", vocabulary, scores)]
    assert tokenizer.convert_ids_to_tokens(ids) == wanted
    tokenizer.chat_template = tiny_gemma.TEMPLATE.replace("{{ bos_token }}", "Chat: ")
    with pytest.raises(UserError, match="cuts text in a way"):
        vocabulary_of(tokenizer, len(vocabulary))


def test_a_tokenizer_that_begins_every_part_of_a_text_with_a_space_is_refused():
    tokenizer = tiny_gemma.tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    with pytest.raises(UserError, match="cuts text in a way"):
        vocabulary_of(tokenizer, 300)


@pytest.mark.parametrize(
    "other",
    [
        {"layer_types": ["full_attention"] * 7},
        {"query_pre_attn_scalar": 64},
        {"final_logit_softcapping": 30.0},
        {"hidden_activation": "silu"},
        {"attention_bias": True},
        {
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 5e4},
            }
        },
    ],
)
def test_a_gemma_3_that_readers_would_take_for_another_is_refused(other):
    require_supported(tiny_gemma.config())
    with pytest.raises(UserError, match="parts that are not written here"):
        require_supported(tiny_gemma.config(**other))


def test_a_gemma_3_that_stretches_its_context_is_refused():
    rope = tiny_gemma.config().rope_parameters
    full = {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0}
    with pytest.raises(UserError, match="stretches its context"):
        require_supported(tiny_gemma.config(rope_parameters=rope | {"full_attention": full}))


@torch.inference_mode()
def test_transformers_loads_the_same_model_back(written, tmp_path):
    model, _reader = written
    ids = torch.randint(6, 200, (1, 40))  # longer than the windows
    logits = model(ids).logits
    again = gguf_file.load_back(tmp_path / "model.gguf", model.config)(ids).logits
    assert float((again - logits).abs().mean()) < 0.01 * float(logits.std())


def test_export_passes_the_parity_check(make_job):
    result = run(make_job("gemma3", "gguf", "f16"), RecordingChannel())
    assert result["parity"]["passed"]


def test_export_with_norms_as_transformers_has_them_fails(make_job, monkeypatch):
    original = gguf_file._data

    def without_the_one(name, tensor, config, number_format):
        data = original(name, tensor, config, number_format)
        return data - 1 if "norm" in name else data

    monkeypatch.setattr(gguf_file, "_data", without_the_one)
    with pytest.raises(UserError) as error:
        run(make_job("gemma3", "gguf", "f16"), RecordingChannel())
    assert error.value.code == "not_the_same"
