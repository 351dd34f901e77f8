"""A whole export: what is in the file, and that nothing leaves that was not checked."""

import zipfile

import pytest
import torch

from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import LeaseLost, UserError
from worker.model_export import gguf_file, merged, parity
from worker.model_export.run import run
from worker.template import load_tokenizer, prompt_token_ids, stop_token_ids

FORMATS = [
    ("llama", "merged", "fp32"),
    ("qwen2", "merged", "bf16"),
    ("llama", "gguf", "f16"),
    ("qwen2", "gguf", "q8_0"),
]


def unpacked(job, result, to):
    with zipfile.ZipFile(job.folder / result["file"]) as packed:
        packed.extractall(to)
    return to / job.spec["name"]


@pytest.mark.parametrize(("kind", "container", "number_format"), FORMATS)
def test_it_is_checked_and_packed(kind, container, number_format, order, tmp_path):
    job, channel = order(kind, container, number_format), RecordingChannel()
    result = run(job, channel)
    assert result["parity"]["passed"]
    assert result["parity"]["tokens"] > 0
    assert result["size"] == (job.folder / result["file"]).stat().st_size
    assert [path.name for path in job.folder.iterdir()] == [result["file"]]  # no draft is left
    readme = (unpacked(job, result, tmp_path) / "README.txt").read_text()
    assert "apache-2.0" in readme
    assert f"of {result['parity']['tokens']}" in readme
    done = channel.of("progress")
    assert done[-1]["done"] == done[-1]["total"]


def test_plain_transformers_loads_the_merged_model(order, tuned, tmp_path):
    """Without a line of ours, and it says what base and adapter say."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    job = order("llama")
    folder = unpacked(job, run(job, RecordingChannel()), tmp_path) / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Another email"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    base, adapter = tuned("llama")
    laid = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    said = [one.generate(**asked, max_new_tokens=8, do_sample=False)[0] for one in (model, laid)]
    assert torch.equal(said[0], said[1])
    assert model.generation_config.eos_token_id == sorted(stop_token_ids(tokenizer))
    assert (folder / "LICENSE").read_text() == "As is."
    assert not list(folder.glob("*.bin"))


def spoil(monkeypatch, what):
    """A mistake somebody could make one day in writing a file."""
    if what == "q and k left as they are":
        monkeypatch.setattr(gguf_file, "permuted", lambda weights, heads: weights)
    elif what == "the adapter forgotten":
        monkeypatch.setattr(merged, "merge", lambda tuned: tuned.unload())
    else:
        whole = merged.merge

        def broken(tuned):
            model = whole(tuned)
            with torch.no_grad():
                model.model.norm.weight[0] = float("nan")
            return model

        monkeypatch.setattr(merged, "merge", broken)


@pytest.mark.parametrize(
    "what", ["q and k left as they are", "the adapter forgotten", "numbers that are none"]
)
def test_a_wrong_file_is_never_given_out(what, order, monkeypatch):
    spoil(monkeypatch, what)
    job, channel = order("llama", "gguf", "f16"), RecordingChannel()
    with pytest.raises(UserError) as refused:
        run(job, channel)
    assert refused.value.code == "not_the_same"
    assert "cannot be downloaded" in refused.value.message
    assert not channel.of("parity")[0]["passed"]
    assert not job.folder.exists()


def test_stopped_it_leaves_nothing_and_begins_again(order):
    class Stopping(RecordingChannel):
        def stopping(self) -> bool:
            return len(self.of("progress")) >= 3

    job = order()
    assert run(job, Stopping()) == {"stopped": True}
    assert not job.folder.exists()
    job.folder.mkdir()
    (job.folder / "half.zip").write_text("of an earlier attempt")
    result = run(job, RecordingChannel())
    assert [path.name for path in job.folder.iterdir()] == [result["file"]]


def test_a_lost_lease_ends_it(order):
    with pytest.raises(LeaseLost):
        run(order(), RecordingChannel(lose_after=0))


def test_a_full_disk_is_said_before_anything_is_written(order, monkeypatch):
    from worker.model_export import run as module

    class Full:
        free = 1000

    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Full)
    with pytest.raises(UserError) as refused:
        run(order(), RecordingChannel())
    assert refused.value.code == "no_disk"


def test_an_architecture_without_a_gguf_form_is_told_at_once(order):
    channel = RecordingChannel()
    with pytest.raises(UserError, match="gpt_neox") as refused:
        run(order("gpt_neox", "gguf", "f16"), channel)
    assert refused.value.code == "bad_model"
    assert not channel.of("progress")


def test_the_yardstick_tells_two_models_apart(order, tuned):
    """The base alone is not the tuned model, and says so in every figure."""
    base, adapter = tuned("llama")
    tokenizer = load_tokenizer(base)
    stops = stop_token_ids(tokenizer)
    prompts = [[{"role": "user", "content": "Email 7"}]]
    laid = merged.load_tuned(base, adapter)
    readings = parity.read(laid, tokenizer, prompts, stops, 6, lambda: None)
    assert readings[0].ids[: readings[0].start] == prompt_token_ids(tokenizer, prompts[0])
    same = parity.compare(laid, readings, stops, 6, "fp32", lambda: None)
    assert same.passed
    assert same.max_difference == 0
    other = parity.compare(laid.unload(), readings, stops, 6, "q8_0", lambda: None)
    assert not other.passed
    assert other.same_tokens < other.tokens
