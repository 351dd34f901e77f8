"""What lies on the hub after a push: each file byte for byte, large ones as pointers, the card."""

import hashlib

import pytest

from finetune_app.core.files import sha256_of
from finetune_app.jobs.models import Job, State
from finetune_app.model_export.models import HubPush
from tests import journey
from tests.hub.stub_hub import TOKEN
from tests.hub_push.conftest import FILES, work

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_adapter_lies_there_as_it_was_trained(hub, start, trained, data_dir):
    push = work(start())
    assert (push.job.state, push.job.message) == (State.SUCCEEDED, "Done.")
    there = hub.repositories["model", "kettle/shop-mail"]
    assert there.private
    assert len(there.commits) == 2  # the hub's own first one, and ours
    assert push.commit == there.commits[-1]
    weights = there.files["adapter_model.safetensors"]
    assert weights.is_large
    assert weights.sha256 == trained.adapter_sha256
    assert f"oid sha256:{trained.adapter_sha256}\n".encode() in weights.pointer
    assert there.files["adapter_config.json"].content == b'{"r": 8}'
    card = there.files["README.md"].content.decode()
    assert 'PeftModel.from_pretrained(base, "kettle/shop-mail")' in card
    assert "library_name: peft" in card
    assert push.files["adapter_model.safetensors"] == trained.adapter_sha256


def test_a_checked_export_lies_there_with_its_files_at_the_top(hub, start, export):
    push = work(start(format="merged-bf16", name="shop", namespace="lane"))
    assert push.job.state == State.SUCCEEDED
    there = hub.repositories["model", "lane/shop"]
    for name, content in FILES.items():
        assert there.files[name.removeprefix("model/")].content == content
    large = {name for name, blob in there.files.items() if blob.is_large}
    assert large == {f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    assert not (journey.write("x", "x").parent / push.folder).exists()  # nothing is left here


def test_its_card_is_of_now_and_keeps_how_it_was_checked(hub, start, export):
    work(start(format="merged-bf16", name="shop"))
    card = hub.repositories["model", "kettle/shop"].files["README.md"].content.decode()
    assert "Old title" not in card
    assert 'from_pretrained("kettle/shop", dtype="auto")' in card
    assert "likeliest token the same: 199 of 200" in card
    assert card.count("## How this file was checked") == 1
    assert "license: apache-2.0" in card


def test_public_only_where_it_was_asked_for(hub, start):
    work(start(public=True))
    assert not hub.repositories["model", "kettle/shop-mail"].private


def test_a_second_push_replaces_the_first_and_leaves_what_is_not_ours(hub, start, trained, export):
    work(start())
    there = hub.repositories["model", "kettle/shop-mail"]
    there.commit(there.files | {"notes.txt": there.files["README.md"]})
    push = work(start(format="merged-bf16"))
    assert push.job.state == State.SUCCEEDED
    assert "adapter_model.safetensors" not in there.files
    assert {"notes.txt", "model-00001-of-00002.safetensors", "README.md"} <= set(there.files)


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, start, data_dir, caplog, capfd):
    hub.fault("POST", "/commit/", 403)
    push = work(start())
    assert push.job.state == State.FAILED
    job = Job.objects.get(pk=push.job_id)
    told = f"{job.message}{job.detail}{job.spec}{job.result}{push.files}{caplog.text}"
    written = capfd.readouterr()
    assert TOKEN not in told + written.out + written.err
    assert "X-Amz-Signature" not in told + written.out + written.err
    for path in data_dir.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_a_file_changed_after_its_check_is_not_pushed(hub, start, export, data_dir):
    push = start(format="merged-bf16")
    path = data_dir / export.stored_name
    path.write_bytes(path.read_bytes().replace(b"first half", b"other half", 1))
    push = work(push)
    assert (push.job.state, push.job.error_code) == (State.FAILED, "not_the_same")
    assert sha256_of(path) != export.sha256
    assert not hub.repositories


def test_an_adapter_changed_since_it_was_trained_is_not_pushed(hub, start, trained):
    push = start()
    journey.write(f"{trained.adapter_folder}/adapter_model.safetensors", "another")
    push = work(push)
    assert push.job.state == State.FAILED
    assert "changed since it was trained" in push.job.message
    assert not hub.requests


def test_a_hub_that_keeps_something_else_is_found_out(hub, start):
    """The commit is checked as it lies there, not as it was announced."""

    def spoil(method: str, path: str) -> None:
        for one in hub.repositories.values():
            if method == "GET" and "/revision/" in path and "config.json" in str(one.files):
                blob = one.files["adapter_config.json"]
                wrong = type(blob)(b"{}")
                one.files["adapter_config.json"] = wrong
                one.history[one.commits[-1]]["adapter_config.json"] = wrong

    hub.before = spoil
    push = work(start())
    assert (push.job.state, push.job.error_code) == (State.FAILED, "not_the_same")
    assert "adapter_config.json on the hub is not what was sent" in push.job.message
    assert HubPush.objects.get(pk=push.pk).commit == ""


def test_sha256_of_each_file_is_kept(hub, start, export):
    push = work(start(format="merged-bf16"))
    wanted = {
        name.removeprefix("model/"): hashlib.sha256(c).hexdigest() for name, c in FILES.items()
    }
    assert {name: push.files[name] for name in wanted} == wanted
