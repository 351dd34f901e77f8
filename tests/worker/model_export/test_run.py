"""A whole export: the content of the file, the parity check, stop and failures."""

import zipfile
from types import SimpleNamespace

import pytest
import torch

from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import LeaseLost, UserError
from worker.model_export import gguf_file, merged, parity
from worker.model_export.run import run
from worker.template import load_tokenizer, prompt_token_ids, stop_token_ids

GB = 10**9
FORMATS = [
    ("llama", "merged", "fp32"),
    ("qwen2", "merged", "bf16"),
    ("llama", "gguf", "f16"),
    ("qwen2", "gguf", "q8_0"),
]


def unpacked(job, result, to):
    with zipfile.ZipFile(job.folder / result["file"]) as archive:
        archive.extractall(to)
    return to / job.spec["name"]


@pytest.mark.parametrize(("kind", "container", "number_format"), FORMATS)
def test_export_is_checked_and_packed(kind, container, number_format, make_job, tmp_path):
    job, channel = make_job(kind, container, number_format), RecordingChannel()
    result = run(job, channel)
    assert result["parity"]["passed"]
    assert result["parity"]["tokens"] > 0
    assert result["size"] == (job.folder / result["file"]).stat().st_size
    assert [path.name for path in job.folder.iterdir()] == [result["file"]]
    readme = (unpacked(job, result, tmp_path) / "README.md").read_text()
    assert f"of {result['parity']['tokens']}" in readme
    titles = [line for line in readme.splitlines() if line.startswith("#")]
    assert titles == [
        "# Sort emails",
        "## How to run it",
        "## How this file was checked",
        "## Limits",
    ]
    assert readme.startswith("---\nlicense: apache-2.0\n---\n")
    done = channel.of("progress")
    assert done[-1]["done"] == done[-1]["total"]


def test_export_merged_answers_the_same_in_transformers(make_job, tuned, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    job = make_job("llama")
    folder = unpacked(job, run(job, RecordingChannel()), tmp_path) / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Another email"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    base, adapter = tuned("llama")
    tuned_model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    outputs = [
        one.generate(**inputs, max_new_tokens=8, do_sample=False)[0] for one in (model, tuned_model)
    ]
    assert torch.equal(outputs[0], outputs[1])
    assert model.generation_config.eos_token_id == sorted(stop_token_ids(tokenizer))
    assert (folder / "LICENSE").read_text() == "As is."
    assert not list(folder.glob("*.bin"))


def introduce_bug(monkeypatch, bug):
    if bug == "q and k not permuted":
        monkeypatch.setattr(gguf_file, "permute_for_rope", lambda weights, heads: weights)
    elif bug == "adapter not merged":
        monkeypatch.setattr(merged, "merge", lambda tuned: tuned.unload())
    else:
        merge = merged.merge

        def broken(tuned):
            model = merge(tuned)
            with torch.no_grad():
                model.model.norm.weight[0] = float("nan")
            return model

        monkeypatch.setattr(merged, "merge", broken)


@pytest.mark.parametrize("bug", ["q and k not permuted", "adapter not merged", "a weight is NaN"])
def test_export_with_a_bug_fails_the_parity_check(bug, make_job, monkeypatch):
    introduce_bug(monkeypatch, bug)
    job, channel = make_job("llama", "gguf", "f16"), RecordingChannel()
    with pytest.raises(UserError) as error:
        run(job, channel)
    assert error.value.code == "not_the_same"
    assert "cannot be downloaded" in error.value.message
    assert not channel.of("parity")[0]["passed"]
    assert not job.folder.exists()


def test_stop_export_leaves_nothing_and_restarts_from_the_beginning(make_job):
    class Stopping(RecordingChannel):
        def stopping(self) -> bool:
            return len(self.of("progress")) >= 3

    job = make_job()
    assert run(job, Stopping()) == {"stopped": True}
    assert not job.folder.exists()
    job.folder.mkdir()
    (job.folder / "old.zip").write_text("of an earlier attempt")
    result = run(job, RecordingChannel())
    assert [path.name for path in job.folder.iterdir()] == [result["file"]]


def test_lost_lease_ends_the_export_and_leaves_what_another_worker_writes(make_job):
    job = make_job()
    with pytest.raises(LeaseLost):
        run(job, RecordingChannel(lose_after=0))
    assert job.folder.exists()


@pytest.mark.parametrize(("total", "free"), [(1000, 1000), (20 * GB, 2 * GB)])
def test_export_to_a_disk_that_is_full_but_for_its_reserve_raises(
    make_job, monkeypatch, total, free
):
    disk = SimpleNamespace(total=total, free=free)
    monkeypatch.setattr("shutil.disk_usage", lambda path: disk)
    with pytest.raises(UserError, match=r"0\.0 GB are free") as error:
        run(make_job(), RecordingChannel())
    assert error.value.code == "no_disk"


def test_export_unsupported_architecture_to_gguf_raises_at_once(make_job):
    channel = RecordingChannel()
    with pytest.raises(UserError, match="gpt_neox") as error:
        run(make_job("gpt_neox", "gguf", "f16"), channel)
    assert error.value.code == "bad_model"
    assert not channel.of("progress")


def test_compare_base_model_with_tuned_model_fails(tuned):
    base, adapter = tuned("llama")
    tokenizer = load_tokenizer(base)
    stop_ids = stop_token_ids(tokenizer)
    prompts = [[{"role": "user", "content": "Email 7"}]]
    model = merged.load_tuned(base, adapter)
    (reference,) = parity.answer_prompts(model, tokenizer, prompts, stop_ids, 6, lambda: None)
    assert reference.input_ids[: reference.start] == prompt_token_ids(tokenizer, prompts[0])
    same = parity.compare(model, [reference], stop_ids, 6, "fp32", lambda: None)
    assert same["passed"]
    assert same["max_difference"] == 0
    other = parity.compare(model.unload(), [reference], stop_ids, 6, "q8_0", lambda: None)
    assert not other["passed"]
    assert other["same_tokens"] < other["tokens"]
