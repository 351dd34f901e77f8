"""A model comes from a hub: pinned, in order, going on after any interruption."""

import hashlib
import json

import pytest

from tests.worker.installs.conftest import HUB_ID, Recorder
from tests.worker.installs.hub import COMMIT
from worker.channel import UserError
from worker.installs import hub as hubs

WEIGHTS = "model.safetensors"
LOGIN = b"<html>Sign in to this network first.</html>"


def test_the_whole_model_arrives_and_is_written_down(install, hub, model, data_dir):
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


def test_everything_is_asked_for_by_commit(install, hub):
    install()
    files = [path for path, _, _ in hub.asked if "/resolve/" in path]
    assert files
    assert all(path.startswith(f"/{HUB_ID}/resolve/{COMMIT}/") for path in files)


def test_pickles_code_and_duplicates_are_never_asked_for(install, hub, model):
    for name in ("pytorch_model.bin", "modeling_tiny.py", "consolidated.safetensors", "a.pt"):
        (model / name).write_bytes(b"x" * 10)
    found = install()
    asked = {path.rsplit("/", 1)[-1] for path, _, _ in hub.asked}
    assert not asked & {"pytorch_model.bin", "modeling_tiny.py", "consolidated.safetensors", "a.pt"}
    assert [name for name in found["files"] if name.endswith(".safetensors")] == [WEIGHTS]


def test_a_broken_line_is_taken_up_where_it_broke(install, hub):
    hub.break_at[WEIGHTS] = 20_000
    install()
    assert hub.ranges_of(WEIGHTS) == [None, "bytes=20000-"]


def test_a_hub_that_ignores_ranges_sends_it_all_again(install, hub):
    hub.break_at[WEIGHTS] = 20_000
    hub.ignore_ranges = True
    install()
    assert hub.ranges_of(WEIGHTS) == [None, "bytes=20000-"]


def test_when_the_network_goes_what_came_is_kept_and_used(install, refusal, hub, data_dir):
    hub.down_after = WEIGHTS
    error = refusal()
    assert error.code == "no_network"
    assert "press Continue" in error.message
    part = data_dir / "installs" / "tiny-1" / "model" / f"{WEIGHTS}.part"
    kept = part.stat().st_size
    assert kept > 0

    hub.down, hub.down_after = False, ""
    hub.asked.clear()
    install()
    assert hub.ranges_of(WEIGHTS) == [f"bytes={kept}-"]
    assert hub.ranges_of("config.json") == []
    assert hub.ranges_of("main") == []


@pytest.mark.parametrize("page", [LOGIN, b"[]", b"{}", b'{"sha": "x", "siblings": ["a"]}', b"7"])
def test_a_page_in_place_of_the_list_is_said(refusal, hub, page):
    hub.page = page
    error = refusal()
    assert error.code == "no_network"
    assert "wants you to sign in first" in error.message


def test_a_page_in_place_of_the_rest_leaves_what_came(install, refusal, hub, data_dir):
    hub.down_after = WEIGHTS
    refusal()
    part = data_dir / "installs" / "tiny-1" / "model" / f"{WEIGHTS}.part"
    kept = part.read_bytes()

    hub.down, hub.down_after, hub.page = False, "", LOGIN
    hub.asked.clear()
    assert refusal().code == "no_network"
    assert hub.ranges_of(WEIGHTS) == [f"bytes={len(kept)}-"] * hubs.MAX_ATTEMPTS
    assert part.read_bytes() == kept

    hub.page = b""
    install()
    assert hub.ranges_of(WEIGHTS)[-1] == f"bytes={len(kept)}-"


def test_a_page_without_a_length_is_not_asked_for_without_end(refusal, hub):
    """It cannot be told from the file, but nothing ever comes of it."""
    hub.down_after = WEIGHTS
    refusal()
    hub.down, hub.down_after = False, ""
    hub.page, hub.page_has_length = LOGIN, False
    hub.asked.clear()
    assert refusal().code == "no_network"
    assert len(hub.ranges_of(WEIGHTS)) == hubs.MAX_ATTEMPTS


def test_stop_keeps_what_came_and_continue_fetches_the_rest(install, hub, model):
    small = sum(p.stat().st_size for p in model.iterdir() if p.name != WEIGHTS)
    assert install(channel=Recorder(stop_after=small + 8192)) == {"stopped": True}
    hub.asked.clear()
    assert install()["revision"] == COMMIT
    [given] = hub.ranges_of(WEIGHTS)
    assert given is not None


def test_a_new_commit_meanwhile_changes_nothing(install, refusal, hub, model):
    hub.down_after = WEIGHTS
    refusal()
    hub.down, hub.down_after = False, ""
    newer = hub.add(HUB_ID, model)
    hub.asked.clear()
    assert install()["revision"] == newer.commit == COMMIT
    assert not [path for path, _, _ in hub.asked if path.startswith("/api/")]


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_damaged_file_is_thrown_away_and_fetched_again(install, refusal, hub, name):
    hub.damage = name
    error = refusal()
    assert error.code == "damaged"
    assert name in error.message
    hub.damage = ""
    install()


def test_a_part_that_cannot_be_the_beginning_is_begun_again(install, hub, model, data_dir):
    hub.down_after = WEIGHTS
    with pytest.raises(UserError):
        install()
    hub.down, hub.down_after = False, ""
    part = data_dir / "installs" / "tiny-1" / "model" / f"{WEIGHTS}.part"
    part.write_bytes(b"x" * part.stat().st_size)
    with pytest.raises(UserError, match="damaged"):
        install()
    install()


def test_what_lies_there_from_another_plan_is_not_used(install, hub, model, data_dir):
    draft = data_dir / "installs" / "tiny-1" / "model"
    draft.mkdir(parents=True)
    (draft / f"{WEIGHTS}.part").write_bytes(b"x" * 100)
    (draft / "config.json").write_bytes(b"x" * (model / "config.json").stat().st_size)
    install()
    assert hub.ranges_of(WEIGHTS) == [None]


def test_only_the_shards_of_the_index_come(install, hub, model):
    (model / WEIGHTS).rename(model / "model-00001-of-00001.safetensors")
    (model / "other.safetensors").write_bytes(b"x")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    names = install()["files"]
    assert "model-00001-of-00001.safetensors" in names
    assert "other.safetensors" not in names


def test_the_word_that_it_is_done_can_be_lost(install, hub):
    first = install()
    hub.asked.clear()
    assert install() == first
    assert hub.asked == []


def test_a_model_that_lost_a_file_is_brought_in_again(install, hub, data_dir):
    first = install()
    config = data_dir / "models" / "tiny" / "config.json"
    config.unlink()
    assert install() == first
    assert config.exists()


def test_the_token_goes_to_the_hub_only_when_there_is_one(install, hub):
    install(token="hf_secret")
    assert {given for _, _, given in hub.asked} == {"Bearer hf_secret"}


def test_the_token_does_not_follow_a_referral_elsewhere(hub, model):
    """Large files live on other hosts; those get no token."""
    import httpx

    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, request.headers.get("Authorization")))
        if request.url.host == "hub.example":
            return httpx.Response(302, headers={"Location": "http://files.example/x"})
        return httpx.Response(200, content=b"abc")

    one = hubs.Hub("a/b", "hf_secret")
    one._client = httpx.Client(
        transport=httpx.MockTransport(answer),
        follow_redirects=True,
        headers=one._client.headers,
    )
    one._client.get("http://hub.example/x")
    assert seen == [("hub.example", "Bearer hf_secret"), ("files.example", None)]


def test_offline_is_said_and_nothing_is_asked(refusal, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = refusal()
    assert error.code == "no_network"
    assert "from a folder" in error.message
    assert hub.asked == []


def test_no_hub_at_all(refusal, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert refusal().code == "no_network"
