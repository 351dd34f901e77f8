"""Train tiny random models: learning, events, stop and continue, export, errors."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import LeaseLost, UserError
from worker.engine.sequences import SequenceState
from worker.training import checkpoints, curve, loop, memory, model_loader, run
from worker.training.lm_head import TokenLosses
from worker.training.objectives import MeanLoss


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox"])
def test_any_architecture_learns(job, kind):
    channel = RecordingChannel()
    result = run(job(kind, epochs=6), channel)
    measured = [p for p in channel.of("point") if p["validation_loss"]]
    assert result["validation_loss"] < 0.6 * measured[0]["validation_loss"]
    assert measured[-1]["validation_accuracy"] > measured[0]["validation_accuracy"]
    assert result["steps"] == 30
    assert result["stopped"] is False
    assert result["tokens"] > 0


def test_bf16_with_fp32_masters_learns_like_fp32(job):
    exact = run(job(folder="exact", epochs=4), RecordingChannel())
    short = run(job(folder="short", epochs=4, number_format="bf16"), RecordingChannel())
    assert short["number_format"] == "bf16"
    assert short["validation_loss"] == pytest.approx(exact["validation_loss"], rel=0.1)


def test_auto_chooses_and_logs_a_number_format(job):
    channel = RecordingChannel()
    result = run(job(number_format="auto", epochs=1), channel)
    assert result["number_format"] in ("bf16", "fp32")
    assert any("Number format" in log["text"] for log in channel.of("log"))


def test_training_emits_phases_points_and_samples(job):
    channel = RecordingChannel()
    run(job(), channel)
    assert [p["phase"] for p in channel.of("phase")] == [
        "reading",
        "loading",
        "training",
        "saving",
    ]
    points = channel.of("point")
    assert [p["step"] for p in points] == list(range(11))
    assert points[0]["validation_loss"] is not None
    assert points[10]["validation_loss"] is not None
    measured = [p["step"] for p in points if p["validation_loss"] is not None]
    assert [s["step"] for s in channel.of("sample")] == measured
    assert measured[0] == 0
    assert measured[-1] == 10
    sample = channel.of("sample")[-1]
    assert sample["wanted"] == f"[{sample['prompt'].split()[0]}]"
    assert sample["passed"] is (sample["answer"] == sample["wanted"])
    assert channel.of("progress")[-1] == {"done": 10, "total": 10, "unit": "steps"}


def test_the_first_step_comes_before_the_base_model_is_evaluated(job):
    """The values of step 0 are nevertheless those of the untrained model."""
    channel = RecordingChannel()
    run(job(learning_rate=0.5, warmup_ratio=0.0, epochs=1), channel)
    names = [name for name, _ in channel.events if name in ("progress", "sample", "point")]
    assert names[:3] == ["progress", "sample", "point"]
    untouched = RecordingChannel()
    run(job(folder="other", learning_rate=1e-9, epochs=1), untouched)
    first, last = channel.of("point")[0], channel.of("point")[-1]
    assert first["validation_loss"] == pytest.approx(
        untouched.of("point")[-1]["validation_loss"], rel=1e-4
    )
    assert last["validation_loss"] != pytest.approx(first["validation_loss"], rel=1e-2)
    assert channel.of("sample")[0]["answer"] == untouched.of("sample")[-1]["answer"]


def test_stop_leaves_a_complete_checkpoint_and_continue_finishes(job):
    uninterrupted = run(job(folder="whole"), RecordingChannel())
    work = job(folder="halves")
    stopped = run(work, RecordingChannel(stop_after=3))
    assert stopped["stopped"] is True
    assert stopped["steps"] == 3
    assert stopped["adapter"] is None
    assert checkpoints.is_complete(work.folder / "checkpoints" / "step-000003")

    channel = RecordingChannel()
    finished = run(work, channel)
    assert channel.of("point")[0]["step"] == 4
    assert finished["steps"] == 10
    assert finished["tokens"] == uninterrupted["tokens"]
    assert finished["validation_loss"] == pytest.approx(uninterrupted["validation_loss"], abs=1e-3)


def test_stop_works_while_rows_are_tokenized(job, monkeypatch):
    monkeypatch.setattr("worker.training.data.CHECK_EVERY_ROWS", 10)
    work = job()
    channel = RecordingChannel(stop_after=0)
    stopped = run(work, channel)
    assert (stopped["stopped"], stopped["adapter"], stopped["steps"]) == (True, None, 0)
    assert [p["phase"] for p in channel.of("phase")] == ["reading"]  # no model was loaded
    assert run(work, RecordingChannel(stop_after=3))["steps"] == 3
    assert run(work, RecordingChannel(stop_after=0))["steps"] == 3
    assert run(work, RecordingChannel())["steps"] == 10


def test_running_a_finished_training_again_changes_nothing(job):
    first = run(job(), RecordingChannel())
    channel = RecordingChannel()
    again = run(job(), channel)
    # What was measured is told again, and no step is made.
    assert not [point for point in channel.of("point") if point["loss"] is not None]
    assert {**again, "peak_memory_bytes": 0} == {**first, "peak_memory_bytes": 0}


def test_a_lost_lease_ends_without_writing(job):
    work = job()
    with pytest.raises(LeaseLost):
        run(work, RecordingChannel(lose_after=3))
    names = {path.name for path in (work.folder / "checkpoints").glob("*")}
    assert "step-000003" not in names or checkpoints.newest(work.folder / "checkpoints")
    assert not (work.folder / "adapter").exists()


def test_plain_peft_loads_the_adapter_and_computes_the_same(job, base_model, monkeypatch):
    work = job()
    kept = {}
    real_export = loop.export

    def keep(folder, adapted, *rest):
        real_export(folder, adapted, *rest)
        kept["model"] = adapted.model.eval()

    monkeypatch.setattr(loop, "export", keep)
    run(work, RecordingChannel())
    folder = work.folder / "adapter"
    config = json.loads((folder / "adapter_config.json").read_text())
    base = AutoModelForCausalLM.from_pretrained(config["base_model_name_or_path"])
    ids = torch.tensor([[5, 9, 20, 31, 7]])
    untuned = base(ids).logits
    tuned = PeftModel.from_pretrained(base, folder)(ids).logits
    with torch.no_grad():
        ours = kept["model"](input_ids=ids).logits
    assert torch.allclose(tuned, ours, atol=1e-5)
    assert not torch.allclose(tuned, untuned, atol=1e-2)
    assert AutoTokenizer.from_pretrained(folder).chat_template
    metadata_file = json.loads((folder / "finetune.json").read_text())
    assert metadata_file["settings"]["rank"] == 4
    assert metadata_file["base_model"] == base_model().name


def test_the_exported_adapter_is_that_of_the_best_step(job, monkeypatch):
    losses = iter([3.0, 2.0, 1.0, *(1.5 + i for i in range(50))])  # the third is the best
    monkeypatch.setattr(curve, "mean_loss", lambda *args: MeanLoss(next(losses)))
    work = job(epochs=6, validation_prompts=0)
    channel = RecordingChannel()
    result = run(work, channel)
    validated_steps = [p["step"] for p in channel.of("point") if p["validation_loss"] is not None]
    assert result["best_step"] == validated_steps[2] < result["steps"]
    best = checkpoints.load(work.folder / "checkpoints" / checkpoints.name_of(validated_steps[2]))
    exported = load_file(work.folder / "adapter" / "adapter_model.safetensors")
    assert exported.keys() == best.adapter.keys()
    assert all(torch.equal(exported[name], best.adapter[name]) for name in exported)


def test_out_of_memory_halves_the_micro_batches_with_the_same_result(job, monkeypatch):
    whole = run(job(folder="whole"), RecordingChannel())
    real_collate = loop.data.collate

    def collate_two_at_most(examples, device, **replay):
        if len(examples) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real_collate(examples, device, **replay)

    monkeypatch.setattr("worker.training.objectives.collate", collate_two_at_most)
    channel = RecordingChannel()
    parts = run(job(folder="parts"), channel)
    assert any("smaller parts" in event["text"] for event in channel.of("warning"))
    assert parts["validation_loss"] == pytest.approx(whole["validation_loss"], abs=1e-3)
    assert parts["steps"] == whole["steps"]


def test_memory_too_small_for_one_example_is_reported(job, monkeypatch):
    def collate_nothing(examples, device, **replay):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("worker.training.objectives.collate", collate_nothing)
    with pytest.raises(UserError) as raised:
        run(job(), RecordingChannel())
    assert raised.value.code == "out_of_memory"
    assert "single row" in raised.value.message


def test_a_nan_loss_ends_the_training(job, monkeypatch):
    nothing = TokenLosses(torch.full((1,), float("nan"), requires_grad=True), None)
    monkeypatch.setattr(
        "worker.training.losses.CausalLMLoss.__call__",
        lambda self, batch, probabilities=None: nothing,
    )
    with pytest.raises(UserError, match="lower learning rate"):
        run(job("gpt_neox"), RecordingChannel())


def changed_base(work, folder, file, **values):
    """A copy of a job's base model with other values in one of its files."""
    shutil.copytree(work.spec["base_model"], folder)
    found = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**found, **values}))
    return str(folder)


def test_no_sequence_exceeds_the_context_length(job, tmp_path, monkeypatch):
    short = changed_base(job(), tmp_path / "short", "config.json", max_position_embeddings=36)
    lengths = []
    real_append = SequenceState.append

    def record_length(self, token):
        real_append(self, token)
        lengths.append(self.length)

    monkeypatch.setattr(SequenceState, "append", record_length)
    channel = RecordingChannel()
    run(job(base_model=short, max_new_tokens=20, epochs=1), channel)
    assert any("too long" in event["text"] for event in channel.of("warning"))
    assert 30 < max(lengths) <= 36


def test_sample_answers_ignore_the_models_own_repetition_penalty(job, tmp_path):
    def answers(**settings):
        channel = RecordingChannel()
        unchanged = {"learning_rate": 1e-9, "epochs": 1, "max_new_tokens": 16}
        run(job(folder=f"run-{len(settings)}", **unchanged, **settings), channel)
        return [sample["answer"] for sample in channel.of("sample")]

    penalty = {"repetition_penalty": 3.0}
    penalised = changed_base(job(), tmp_path / "penalised", "generation_config.json", **penalty)
    assert answers(base_model=penalised) == answers()


def test_fp32_is_not_chosen_where_it_would_fill_the_memory(job, monkeypatch):
    def fp32_is_faster(width, dtype):
        return 1 / dtype.itemsize

    monkeypatch.setattr(model_loader, "_matmul_seconds", fp32_is_faster)
    base = Path(job().spec["base_model"])
    assert model_loader.fastest_number_format(base) == "fp32"
    monkeypatch.setattr(model_loader, "this_machine", lambda: SimpleNamespace(free_bytes=10_000))
    assert model_loader.fastest_number_format(base) == "bf16"


def test_on_cuda_the_memory_of_the_card_is_measured(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda: 123)
    assert memory.memory_bytes() == memory.peak_memory_bytes() == 123


def test_a_run_ends_by_itself_when_nothing_improves(job, monkeypatch):
    losses = iter([3.0, 1.0, *(2.0 + i for i in range(500))])
    monkeypatch.setattr(curve, "mean_loss", lambda *args: MeanLoss(next(losses)))
    monkeypatch.setattr("worker.training.validation.MIN_STEPS", 10)
    channel = RecordingChannel()
    result = run(job(epochs=20, validation_prompts=0, patience=2), channel)
    assert (result["ended_early"], result["stopped"]) == (True, False)
    assert result["steps"] < channel.of("progress")[-1]["total"] == 100
    assert result["adapter"] == "adapter"


def test_a_run_that_ended_by_itself_is_not_continued_by_running_it_again(job, monkeypatch):
    losses = iter([3.0, 1.0, *(2.0 + i for i in range(500))])
    monkeypatch.setattr(curve, "mean_loss", lambda *args: MeanLoss(next(losses)))
    monkeypatch.setattr("worker.training.validation.MIN_STEPS", 10)
    settings = {"epochs": 20, "validation_prompts": 0, "patience": 2}
    first = run(job(**settings), RecordingChannel())
    again = run(job(**settings), RecordingChannel())
    assert again["steps"] == first["steps"]
    assert again["ended_early"]


def test_a_checkpoint_of_an_earlier_version_is_continued(job):
    work = job()
    run(work, RecordingChannel(stop_after=3))
    state_file = work.folder / "checkpoints" / "step-000003" / "state.json"
    stored = json.loads(state_file.read_text())
    del stored["validations"], stored["validation_seconds"]
    stored |= {"best_loss": 2.5, "validation_loss": None}
    state_file.write_text(json.dumps(stored))
    marker = state_file.with_name("COMPLETE")
    hashes = json.loads(marker.read_text())
    hashes["state.json"] = hashlib.sha256(state_file.read_bytes()).hexdigest()
    marker.write_text(json.dumps(hashes))
    channel = RecordingChannel()
    assert run(work, channel)["steps"] == 10
    assert channel.of("point")[0]["step"] == 4


def test_a_seed_may_be_larger_than_64_bits(job):
    assert run(job(seed=2**70, dropout=0.1, epochs=1), RecordingChannel())["steps"] == 5


def test_rows_that_do_not_fit_are_named_and_not_learned(job):
    channel = RecordingChannel()
    assert run(job(max_tokens=36, epochs=1), channel)["steps"] == 4
    learned, measured = [event["text"] for event in channel.of("warning")]
    assert "11 of 40 rows have more than 36 tokens and are not learned (row 3, 4, 12, " in learned
    assert learned.split("row 3")[1].startswith(", 4, 12, 13, 17, ...)")
    assert "2 of 6 practice examples are too long" in measured


def test_a_long_conversation_is_learned_without_its_earliest_turns(job, version):
    rows = [json.loads(line) for line in version.read_text().splitlines()]
    rows[0]["messages"] = [*rows[6]["messages"], *rows[0]["messages"]]
    version.write_text("".join(json.dumps(row) + "\n" for row in rows))
    channel = RecordingChannel()
    longest = 50  # tokens, more than any row alone has
    assert run(job(max_tokens=longest, epochs=1), channel)["steps"] == 5
    assert "1 of 40 conversations are too long" in channel.of("warning")[0]["text"]


def test_nothing_but_rows_that_do_not_fit_is_an_error(job):
    with pytest.raises(UserError, match="Every row has more than 8 tokens"):
        run(job(max_tokens=8), RecordingChannel())


def test_without_validation_rows_the_last_step_is_kept(job, version):
    rows = [line for line in version.read_text().splitlines() if '"train"' in line]
    version.write_text("\n".join(rows) + "\n")
    result = run(job(), RecordingChannel())
    assert result["validation_loss"] is None
    assert result["best_step"] == 10


def test_a_version_without_training_rows_is_an_error(job, version):
    version.write_text("")
    with pytest.raises(UserError) as raised:
        run(job(), RecordingChannel())
    assert raised.value.code == "bad_data"


def test_one_answer_that_is_too_long_does_not_end_the_training(job, version):
    rows = [json.loads(line) for line in version.read_text().splitlines()]
    rows[3]["messages"][-1]["content"] = "blue " * 500
    rows = [row | {"id": 100 + row["id"]} for row in rows]
    version.write_text("\n".join(map(json.dumps, rows)) + "\n")
    channel = RecordingChannel()
    assert run(job(max_tokens=100, epochs=1), channel)["steps"] == 5
    assert "(row 103)" in channel.of("warning")[0]["text"]


def test_a_row_that_the_template_refuses_is_named(job, version):
    rows = [json.loads(line) for line in version.read_text().splitlines()]
    rows[3]["messages"] = rows[3]["messages"][:1]
    version.write_text("\n".join(map(json.dumps, rows)) + "\n")
    with pytest.raises(UserError, match="Row 3: "):
        run(job(), RecordingChannel())


def test_models_with_remote_code_are_rejected(job, tmp_path):
    remote_code = {"auto_map": {"AutoModel": "x.Y"}}
    with_code = changed_base(job(), tmp_path / "with_code", "config.json", **remote_code)
    with pytest.raises(UserError) as raised:
        run(job(base_model=with_code), RecordingChannel())
    assert raised.value.code == "bad_model"


def test_a_truncated_weights_file_is_reported(job, tmp_path):
    folder = tmp_path / "truncated"
    shutil.copytree(job().spec["base_model"], folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match="install it again") as raised:
        run(job(base_model=str(folder)), RecordingChannel())
    assert raised.value.code == "bad_model"
