"""Models that are rejected, each with a reason."""

import json
import os
import shutil
from collections import namedtuple

import pytest

from tests.worker.installs.conftest import HUB_ID
from worker.installs import checks


def weights_requested(hub) -> bool:
    return bool(hub.ranges_of("model.safetensors"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_model_with_its_own_code_is_rejected(install_error, hub, change, name):
    change(name, auto_map={"AutoModelForCausalLM": "modeling_tiny.Tiny"})
    error = install_error()
    assert error.code == "bad_model"
    assert "its own program code" in error.message
    assert not weights_requested(hub)


def test_a_model_with_pickles_only_is_rejected(install_error, hub, model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    error = install_error()
    assert ".bin files, which can carry programs" in error.message
    assert hub.ranges_of("pytorch_model.bin") == []


def test_a_model_without_weights_is_rejected(install_error, hub, model):
    (model / "model.safetensors").unlink()
    assert "no safetensors" in install_error().message


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.safetensors",
        "/etc/evil.safetensors",
        "a/../../evil.safetensors",
        "..\\evil.safetensors",
        "evil.safetensors\x00.json",
        "evil.safetensors\n",
        ".safetensors",
    ],
)
def test_hostile_names_in_the_file_list_are_not_requested(install, hub, tmp_path, name):
    hub.repos[HUB_ID].extra.append(name)
    files = install()["files"]
    assert not [one for one in files if "evil" in one]
    assert not [path for path, _, _ in hub.requests if "evil" in path]
    assert not list(tmp_path.rglob("*evil*"))


def test_hostile_names_in_the_index_are_rejected(install_error, hub, model, tmp_path):
    (tmp_path / "evil.safetensors").write_bytes(b"x")
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "../evil.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names files that are not there" in install_error().message
    assert not [path for path, _, _ in hub.requests if "evil" in path]


@pytest.mark.parametrize("index", ["[]", "{", '{"weight_map": 7}', '{"weight_map": [1]}', "null"])
def test_an_invalid_index_is_rejected(install_error, hub, model, index):
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    (model / "model.safetensors.index.json").write_text(index)
    assert install_error().code == "bad_model"


def test_a_gated_model_without_a_token_is_rejected(install_error, hub):
    hub.repos[HUB_ID].token = "hf_right"
    error = install_error()
    assert error.code == "no_access"
    assert "wants you to accept the licence and give a token" in error.message


def test_a_gated_model_with_a_wrong_token_is_rejected(install_error, hub):
    hub.repos[HUB_ID].token = "hf_right"
    error = install_error(token="hf_wrong")
    assert "your access token may not read this model" in error.message
    assert "hf_wrong" not in error.message + repr(error.__cause__)


def test_a_gated_model_with_its_token_is_installed(install, hub):
    hub.repos[HUB_ID].token = "hf_right"
    assert install(token="hf_right")["architecture"] == "Qwen2ForCausalLM"


def test_an_unknown_model_is_rejected(install_error, hub):
    error = install_error("nobody/nothing")
    assert error.code == "not_found"
    assert "no model “nobody/nothing”" in error.message


def test_a_repo_without_a_config_is_rejected(install_error, hub, model):
    (model / "config.json").unlink()
    assert "no config.json" in install_error().message


def test_a_classifier_is_rejected(install_error, hub, change):
    change("config.json", architectures=["Qwen2ForSequenceClassification"])
    assert "left to right" in install_error().message


def test_an_encoder_is_rejected(install_error, hub, model, tmp_path):
    bert = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 258}
    (model / "config.json").write_text(json.dumps(bert))
    assert "left to right" in install_error().message
    assert not weights_requested(hub)


def test_an_encoder_decoder_model_is_rejected(install_error, hub, model):
    t5 = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
    (model / "config.json").write_text(json.dumps(t5))
    assert "left to right" in install_error().message


@pytest.mark.parametrize("kind", ["from_the_future", 7, None, {"a": 1}])
def test_an_unknown_model_type_is_rejected(install_error, hub, change, kind):
    change("config.json", model_type=kind)
    error = install_error()
    assert error.code == "bad_model"
    assert "upgrade Finetune" in error.message or "left to right" in error.message


def test_quantised_weights_are_rejected(install_error, hub, change):
    change("config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    assert "quantised" in install_error().message


def test_a_short_context_is_rejected(install_error, hub, change):
    change("config.json", max_position_embeddings=256)
    assert "only 256 tokens" in install_error().message


def test_a_model_without_a_chat_template_is_rejected(install_error, hub, model):
    (model / "chat_template.jinja").unlink()
    assert "Choose its “instruct”" in install_error().message


def test_an_endless_chat_template_is_rejected(install_error, hub, model, monkeypatch):
    monkeypatch.setattr(checks, "TEMPLATE_SECONDS", 0.3)
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (model / "chat_template.jinja").write_text(loop)
    assert "does not work with a plain question" in install_error().message


@pytest.mark.parametrize(
    "text", ["{{ messages.__class__.__mro__ }}", "{% broken", "{{ raise_exception('no') }}", "x"]
)
def test_a_hostile_or_broken_chat_template_is_rejected(install_error, hub, model, text):
    (model / "chat_template.jinja").write_text(text)
    assert install_error().code == "bad_model"


def test_a_model_that_always_thinks_first_is_rejected(install_error, hub, model):
    """Its template drops the thought from the answer: what to learn cannot follow the prompt."""
    (model / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role + ': ' + m.content.split('</think>')[-1] + '\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: <think>\n' }}{% endif %}"
    )
    assert "does not work with a plain question" in install_error().message


def test_a_tokenizer_of_another_model_is_rejected(install_error, hub, change):
    change("config.json", vocab_size=40)
    assert "do not belong together" in install_error().message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_damaged_json_files_are_rejected(install_error, hub, model, name, text):
    (model / name).write_text(text)
    assert install_error().code == "bad_model"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 200,
        b"\x02\0\0\0\0\0\0\0{}",
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x80\x04pickle" * 10,
    ],
)
def test_invalid_weights_are_rejected(install_error, hub, model, content):
    (model / "model.safetensors").write_bytes(content)
    assert "not a complete safetensors file" in install_error().message


def test_truncated_weights_are_rejected(install_error, hub, model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a complete safetensors file" in install_error().message


def test_an_oversized_vocabulary_is_rejected(install_error, hub, model):
    with (model / "vocab.json").open("wb") as file:
        file.truncate(300_000_000)
    assert "too large to be real" in install_error(model).message


def test_too_little_disk_space_is_reported_before_the_weights_are_requested(
    install_error, hub, monkeypatch
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**10, 10**10, 10**9))
    error = install_error()
    assert error.code == "no_disk"
    assert "1.0 GB free" in error.message
    assert not weights_requested(hub)


def test_a_missing_folder_is_rejected(install_error):
    assert install_error("/nowhere/at/all").code == "not_found"


def test_a_file_instead_of_a_folder_is_rejected(install_error, model):
    assert install_error(model / "config.json").code == "not_found"


def test_a_folder_of_finetune_itself_is_rejected(install_error, data_dir, model):
    own = data_dir / "models" / "other"
    shutil.copytree(model, own)
    assert "belongs to Finetune itself" in install_error(own).message
    link = model.parent / "link"
    link.symlink_to(own)
    assert "belongs to Finetune itself" in install_error(link).message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_links_out_of_the_folder_are_rejected(install_error, model, tmp_path, name):
    (model / name).rename(tmp_path / "elsewhere")
    (model / name).symlink_to(tmp_path / "elsewhere")
    assert f"{name} is a link" in install_error(model).message


def test_links_within_the_folder_are_followed(install, model, data_dir):
    (model / "model.safetensors").rename(model / "blob")
    (model / "model.safetensors").symlink_to("blob")
    install(model)
    copied = data_dir / "models" / "tiny" / "model.safetensors"
    assert copied.is_file()
    assert not copied.is_symlink()


def test_pipes_are_not_read(install_error, model):
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "model.safetensors")
    assert "no safetensors" in install_error(model).message
