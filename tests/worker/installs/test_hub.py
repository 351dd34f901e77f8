"""Install a model from a hub: at one commit, resumed after interruptions."""

import hashlib
import json
from typing import Any

import pytest

from tests.worker.installs.conftest import HUB_ID, Recorder
from tests.worker.installs.hub import COMMIT
from worker.channel import UserError
from worker.installs import hub as hubs
from worker.training.adapter_export import copy_licences

WEIGHTS = "model.safetensors"
LOGIN_PAGE = b"<html>Sign in to this network first.</html>"


def test_installing_downloads_all_files_and_records_their_hashes(install, hub, model, data_dir):
    channel = Recorder()
    found = install(channel=channel)
    folder = data_dir / "models" / "tiny"
    for name, digest in found["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        assert (folder / name).read_bytes() == (model / name).read_bytes()
    assert {WEIGHTS, "config.json", "tokenizer.json"} <= found["files"].keys()
    assert found["revision"] == COMMIT
    assert found["architecture"] == "Qwen2ForCausalLM"
    assert found["context"] == 4096
    assert not (data_dir / "installs" / "tiny-1").exists()
    done = [event["done"] for event in channel.of("progress")]
    assert done == sorted(done)
    assert done[-1] == channel.of("progress")[-1]["total"] == found["size"]


def test_parameters_are_counted(install, hub, model):
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model)
    assert install()["parameters"] == sum(p.numel() for p in loaded.parameters())


def test_files_are_requested_by_commit(install, hub):
    install()
    files = [path for path, _, _ in hub.requests if "/resolve/" in path]
    assert files
    assert all(path.startswith(f"/{HUB_ID}/resolve/{COMMIT}/") for path in files)


def test_the_licence_comes_along_and_goes_with_what_is_exported(
    install, hub, model, data_dir, tmp_path
):
    licences = ("LICENSE", "LICENCE-MODEL.txt", "NOTICE.md", "USE_POLICY.md")
    for name in (*licences, "LICENSE.py", "LICENSE.bin"):
        (model / name).write_text("As is.")
    assert set(licences) <= install()["files"].keys()
    copy_licences(data_dir / "models" / "tiny", tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == set(licences)


def test_pickles_code_and_duplicates_are_not_requested(install, hub, model):
    unwanted = ("pytorch_model.bin", "modeling_tiny.py", "consolidated.safetensors", "a.pt")
    for name in unwanted:
        (model / name).write_bytes(b"x" * 10)
    found = install()
    requested = {path.rsplit("/", 1)[-1] for path, _, _ in hub.requests}
    assert not requested & set(unwanted)
    assert [name for name in found["files"] if name.endswith(".safetensors")] == [WEIGHTS]


def test_a_broken_download_resumes_at_its_last_byte(install, hub):
    hub.break_at[WEIGHTS] = 20_000
    install()
    assert hub.ranges_of(WEIGHTS) == [None, "bytes=20000-"]


def test_a_hub_that_ignores_ranges_sends_the_whole_file_again(install, hub):
    hub.break_at[WEIGHTS] = 20_000
    hub.ignore_ranges = True
    install()
    assert hub.ranges_of(WEIGHTS) == [None, "bytes=20000-"]


def test_losing_the_network_keeps_what_was_downloaded(install, install_error, hub, data_dir):
    hub.down_after = WEIGHTS
    error = install_error()
    assert error.code == "no_network"
    assert "press Continue" in error.message
    part = data_dir / "installs" / "tiny-1" / "model" / f"{WEIGHTS}.part"
    received = part.stat().st_size
    assert received > 0

    hub.down, hub.down_after = False, ""
    hub.requests.clear()
    install()
    assert hub.ranges_of(WEIGHTS) == [f"bytes={received}-"]
    assert hub.ranges_of("config.json") == []
    assert hub.ranges_of("main") == []


@pytest.mark.parametrize(
    "page", [LOGIN_PAGE, b"[]", b"{}", b'{"sha": "x", "siblings": ["a"]}', b"7"]
)
def test_a_web_page_instead_of_the_file_list_is_reported(install_error, hub, page):
    hub.page = page
    error = install_error()
    assert error.code == "no_network"
    assert "wants you to sign in first" in error.message


def test_a_web_page_instead_of_a_file_keeps_what_was_downloaded(
    install, install_error, hub, data_dir
):
    hub.down_after = WEIGHTS
    install_error()
    part = data_dir / "installs" / "tiny-1" / "model" / f"{WEIGHTS}.part"
    received = part.read_bytes()

    hub.down, hub.down_after, hub.page = False, "", LOGIN_PAGE
    hub.requests.clear()
    assert install_error().code == "no_network"
    assert hub.ranges_of(WEIGHTS) == [f"bytes={len(received)}-"] * hubs.MAX_ATTEMPTS
    assert part.read_bytes() == received

    hub.page = b""
    install()
    assert hub.ranges_of(WEIGHTS)[-1] == f"bytes={len(received)}-"


def test_a_web_page_without_a_length_is_requested_a_limited_number_of_times(install_error, hub):
    """It looks like the file, but retries must end."""
    hub.down_after = WEIGHTS
    install_error()
    hub.down, hub.down_after = False, ""
    hub.page, hub.page_has_length = LOGIN_PAGE, False
    hub.requests.clear()
    assert install_error().code == "no_network"
    assert len(hub.ranges_of(WEIGHTS)) == hubs.MAX_ATTEMPTS


def test_continue_after_stop_downloads_the_rest(install, hub, model):
    small = sum(p.stat().st_size for p in model.iterdir() if p.name != WEIGHTS)
    assert install(channel=Recorder(stop_after=small + 8192)) == {"stopped": True}
    hub.requests.clear()
    assert install()["revision"] == COMMIT
    [given] = hub.ranges_of(WEIGHTS)
    assert given is not None


def test_continue_stays_at_the_first_commit(install, install_error, hub, model):
    hub.down_after = WEIGHTS
    install_error()
    hub.down, hub.down_after = False, ""
    newer = hub.add(HUB_ID, model)
    hub.requests.clear()
    assert install()["revision"] == newer.commit == COMMIT
    assert not [path for path, _, _ in hub.requests if path.startswith("/api/")]


def test_a_stopped_install_goes_on_with_the_commit_that_was_agreed_to_since(
    install, install_error, hub, model, data_dir
):
    hub.down_after = WEIGHTS
    install_error()
    hub.down, hub.down_after = False, ""
    newer = hub.add(HUB_ID, model)
    newer.commit = "6" * 40
    (model / "config.json").write_text((model / "config.json").read_text() + "\n")
    assert install(revision=newer.commit)["revision"] == newer.commit
    assert (data_dir / "models" / "tiny" / "config.json").read_text().endswith("\n")


def test_a_model_that_another_job_has_installed_meanwhile_is_left_alone(install, hub, data_dir):
    """A double click: a training may have its files open already."""
    place = data_dir / "models" / "tiny" / WEIGHTS

    class Overtaken(Recorder):
        def emit(self, event: str, **fields: Any) -> None:
            if fields.get("phase") == "checking" and not place.exists():
                install(number=2)
                self.was = place.stat().st_ino
            super().emit(event, **fields)

    channel = Overtaken()
    assert install(channel=channel)["revision"] == COMMIT
    assert place.stat().st_ino == channel.was
    assert not (data_dir / "installs" / "tiny-1").exists()


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_damaged_file_is_deleted_and_downloaded_again(install, install_error, hub, name):
    hub.damage = name
    error = install_error()
    assert error.code == "damaged"
    assert name in error.message
    hub.damage = ""
    install()


def test_a_damaged_partial_file_is_downloaded_again(install, hub, model, data_dir):
    hub.down_after = WEIGHTS
    with pytest.raises(UserError):
        install()
    hub.down, hub.down_after = False, ""
    part = data_dir / "installs" / "tiny-1" / "model" / f"{WEIGHTS}.part"
    part.write_bytes(b"x" * part.stat().st_size)
    with pytest.raises(UserError, match="damaged"):
        install()
    install()


def test_files_of_another_plan_are_not_used(install, hub, model, data_dir):
    draft = data_dir / "installs" / "tiny-1" / "model"
    draft.mkdir(parents=True)
    (draft / f"{WEIGHTS}.part").write_bytes(b"x" * 100)
    (draft / "config.json").write_bytes(b"x" * (model / "config.json").stat().st_size)
    install()
    assert hub.ranges_of(WEIGHTS) == [None]


def test_only_shards_in_the_index_are_downloaded(install, hub, model):
    (model / WEIGHTS).rename(model / "model-00001-of-00001.safetensors")
    (model / "other.safetensors").write_bytes(b"x")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    names = install()["files"]
    assert "model-00001-of-00001.safetensors" in names
    assert "other.safetensors" not in names


def test_running_a_finished_install_again_downloads_nothing(install, hub):
    first = install()
    hub.requests.clear()
    assert install() == first
    assert hub.requests == []


def test_a_model_with_a_missing_file_is_installed_again(install, hub, data_dir):
    first = install()
    config = data_dir / "models" / "tiny" / "config.json"
    config.unlink()
    assert install() == first
    assert config.exists()


def test_the_token_is_sent_to_the_hub(install, hub):
    install(token="hf_secret")
    assert {given for _, _, given in hub.requests} == {"Bearer hf_secret"}


def test_the_token_is_not_sent_to_other_hosts(hub, model):
    """Large files are on other hosts, which must not get the token."""
    import httpx

    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, request.headers.get("Authorization")))
        if request.url.host == "hub.example":
            return httpx.Response(302, headers={"Location": "http://files.example/x"})
        return httpx.Response(200, content=b"abc")

    hub_client = hubs.Hub("a/b", "hf_secret")
    hub_client._client = httpx.Client(
        transport=httpx.MockTransport(answer),
        follow_redirects=True,
        headers=hub_client._client.headers,
    )
    hub_client._client.get("http://hub.example/x")
    assert seen == [("hub.example", "Bearer hf_secret"), ("files.example", None)]


def test_offline_mode_is_reported_without_a_request(install_error, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = install_error()
    assert error.code == "no_network"
    assert "from a folder" in error.message
    assert hub.requests == []


def test_an_unreachable_hub_is_reported(install_error, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert install_error().code == "no_network"
