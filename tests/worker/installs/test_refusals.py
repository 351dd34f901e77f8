"""What is not installed, and the sentence that says why."""

import json
import os
import shutil
from collections import namedtuple

import pytest

from tests.worker.installs.conftest import HUB_ID
from worker.installs import checks


def weights_asked(hub) -> bool:
    return bool(hub.ranges_of("model.safetensors"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own(refusal, hub, change, name):
    change(name, auto_map={"AutoModelForCausalLM": "modeling_tiny.Tiny"})
    error = refusal()
    assert error.code == "bad_model"
    assert "its own program code" in error.message
    assert not weights_asked(hub)


def test_only_pickles(refusal, hub, model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    error = refusal()
    assert ".bin files, which can carry programs" in error.message
    assert hub.ranges_of("pytorch_model.bin") == []


def test_no_weights_at_all(refusal, hub, model):
    (model / "model.safetensors").unlink()
    assert "no safetensors" in refusal().message


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
def test_hostile_names_in_the_list_are_never_asked_for(install, hub, tmp_path, name):
    hub.repos[HUB_ID].extra.append(name)
    files = install()["files"]
    assert not [one for one in files if "evil" in one]
    assert not [path for path, _, _ in hub.asked if "evil" in path]
    assert not list(tmp_path.rglob("*evil*"))


def test_hostile_names_in_the_index(refusal, hub, model, tmp_path):
    (tmp_path / "evil.safetensors").write_bytes(b"x")
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "../evil.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names files that are not there" in refusal().message
    assert not [path for path, _, _ in hub.asked if "evil" in path]


@pytest.mark.parametrize("index", ["[]", "{", '{"weight_map": 7}', '{"weight_map": [1]}', "null"])
def test_an_index_that_is_none(refusal, hub, model, index):
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    (model / "model.safetensors.index.json").write_text(index)
    assert refusal().code == "bad_model"


def test_a_gated_model_without_a_token(refusal, hub):
    hub.repos[HUB_ID].token = "hf_right"
    error = refusal()
    assert error.code == "no_access"
    assert "wants you to accept the licence and give a token" in error.message


def test_a_gated_model_with_a_wrong_token(refusal, hub):
    hub.repos[HUB_ID].token = "hf_right"
    error = refusal(token="hf_wrong")
    assert "your access token may not read this model" in error.message
    assert "hf_wrong" not in error.message + repr(error.__cause__)


def test_a_gated_model_with_its_token(install, hub):
    hub.repos[HUB_ID].token = "hf_right"
    assert install(token="hf_right")["architecture"] == "Qwen2ForCausalLM"


def test_no_such_model(refusal, hub):
    error = refusal("nobody/nothing")
    assert error.code == "not_found"
    assert "no model “nobody/nothing”" in error.message


def test_not_a_model(refusal, hub, model):
    (model / "config.json").unlink()
    assert "no config.json" in refusal().message


def test_a_model_that_does_not_write_from_left_to_right(refusal, hub, change):
    change("config.json", architectures=["Qwen2ForSequenceClassification"])
    assert "left to right" in refusal().message


def test_an_encoder(refusal, hub, model, tmp_path):
    bert = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 258}
    (model / "config.json").write_text(json.dumps(bert))
    assert "left to right" in refusal().message
    assert not weights_asked(hub)


def test_a_translator(refusal, hub, model):
    t5 = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
    (model / "config.json").write_text(json.dumps(t5))
    assert "left to right" in refusal().message


@pytest.mark.parametrize("kind", ["from_the_future", 7, None, {"a": 1}])
def test_a_kind_nobody_knows(refusal, hub, change, kind):
    change("config.json", model_type=kind)
    error = refusal()
    assert error.code == "bad_model"
    assert "upgrade Finetune" in error.message or "left to right" in error.message


def test_compressed_weights(refusal, hub, change):
    change("config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    assert "quantised" in refusal().message


def test_too_short_a_memory(refusal, hub, change):
    change("config.json", max_position_embeddings=256)
    assert "only 256 tokens" in refusal().message


def test_no_chat_template(refusal, hub, model):
    (model / "chat_template.jinja").unlink()
    assert "Choose its “instruct”" in refusal().message


def test_a_chat_template_that_never_ends(refusal, hub, model, monkeypatch):
    monkeypatch.setattr(checks, "TEMPLATE_SECONDS", 0.3)
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (model / "chat_template.jinja").write_text(loop)
    assert "does not work with a plain question" in refusal().message


@pytest.mark.parametrize(
    "text", ["{{ messages.__class__.__mro__ }}", "{% broken", "{{ raise_exception('no') }}", "x"]
)
def test_a_chat_template_that_breaks_out_or_down(refusal, hub, model, text):
    (model / "chat_template.jinja").write_text(text)
    assert refusal().code == "bad_model"


def test_a_tokenizer_of_another_model(refusal, hub, change):
    change("config.json", vocab_size=40)
    assert "do not belong together" in refusal().message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_damaged_small_files(refusal, hub, model, name, text):
    (model / name).write_text(text)
    assert refusal().code == "bad_model"


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
def test_weights_that_are_none(refusal, hub, model, content):
    (model / "model.safetensors").write_bytes(content)
    assert "not a complete safetensors file" in refusal().message


def test_weights_cut_short(refusal, hub, model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a complete safetensors file" in refusal().message


def test_a_small_file_of_a_terabyte(refusal, hub, model):
    with (model / "vocab.json").open("wb") as file:
        file.truncate(300_000_000)
    assert "too large to be real" in refusal(model).message


def test_no_room_is_said_before_anything_large_comes(refusal, hub, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**10, 10**10, 10**9))
    error = refusal()
    assert error.code == "no_disk"
    assert "1.0 GB free" in error.message
    assert not weights_asked(hub)


def test_a_folder_that_is_not_there(refusal):
    assert refusal("/nowhere/at/all").code == "not_found"


def test_a_file_instead_of_a_folder(refusal, model):
    assert refusal(model / "config.json").code == "not_found"


def test_finetunes_own_folders(refusal, data_dir, model):
    own = data_dir / "models" / "other"
    shutil.copytree(model, own)
    assert "belongs to Finetune itself" in refusal(own).message
    link = model.parent / "link"
    link.symlink_to(own)
    assert "belongs to Finetune itself" in refusal(link).message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_links_out_of_the_folder(refusal, model, tmp_path, name):
    (model / name).rename(tmp_path / "elsewhere")
    (model / name).symlink_to(tmp_path / "elsewhere")
    assert f"{name} is a link" in refusal(model).message


def test_links_within_the_folder_are_fine(install, model, data_dir):
    (model / "model.safetensors").rename(model / "blob")
    (model / "model.safetensors").symlink_to("blob")
    install(model)
    copied = data_dir / "models" / "tiny" / "model.safetensors"
    assert copied.is_file()
    assert not copied.is_symlink()


def test_pipes_and_devices_are_not_read(refusal, model):
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "model.safetensors")
    assert "no safetensors" in refusal(model).message
