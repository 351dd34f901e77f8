"""Preference tuning: the loss is TRL's, the better answers become likelier, and it resumes."""

import json
import math
import random
import shutil
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from finetune_app.training.protocol import REFERENCE
from tests.worker.training.chat_template import CHATML
from tests.worker.training.conftest import WORDS
from tests.worker.training.recording_channel import RecordingChannel
from tests.worker.training.test_resume import train_until_killed
from worker.channel import Job, UserError
from worker.template import load_tokenizer, tokenize_example
from worker.training import run
from worker.training.dpo import (
    DpoObjective,
    conversations,
    margins,
    reference_margins,
)
from worker.training.llama_loss import LlamaLoss
from worker.training.losses import CausalLMLoss
from worker.training.model_loader import load
from worker.training.objectives import batch_losses, mean_loss
from worker.training.pairs import tokenize_pair
from worker.training.spec import TrainingSpec

CPU = torch.device("cpu")
BETA = 0.1


def pair_row(number: int, split: str = "train") -> dict:
    """People prefer the colour in brackets to the colour as it is."""
    word = WORDS[number % 10]
    messages = [
        {"role": "user", "content": " ".join([word] * (1 + number % 7))},
        {"role": "assistant", "content": f"[{word}]"},
    ]
    return {"id": number, "split": split, "messages": messages, "rejected": f"{word} {word}"}


@pytest.fixture
def pairs_file(version):
    """24 pairs to learn, 8 to practise on, 2 to test with, and 16 rows that are no pairs."""
    plain = [{**pair_row(n), "rejected": ""} for n in range(16)]
    rows = [pair_row(n) for n in range(16, 40)]
    rows += [pair_row(n, "validation") for n in range(40, 48)]
    rows += [pair_row(n, "test") for n in range(48, 50)]
    version.write_text("\n".join(map(json.dumps, [*plain, *rows])) + "\n")
    return version


@pytest.fixture
def dpo_job(job, pairs_file):
    def make(kind: str = "llama", folder: str = "run", **settings) -> Job:
        return job(kind, folder, **({"method": "dpo", "epochs": 4} | settings))

    return make


def tokenized_pairs(folder, count: int = 8):
    tokenizer = load_tokenizer(folder)
    rows = [pair_row(number) for number in range(count)]
    return [tokenize_pair(tokenizer, r["id"], r["messages"], r["rejected"], 200) for r in rows]


def adapted(base_model, kind: str):
    return load(TrainingSpec(base_model=base_model(kind), version=base_model(kind), rank=4), "fp32")


def change_adapter(model) -> None:
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if ".default." in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)


def without_newlines_after_turns(folder, copy):
    """TRL learns what follows an end of turn, which no engine ever generates; we do not."""
    shutil.copytree(folder, copy)
    template = copy / "chat_template.jinja"
    template.write_text(CHATML.replace("<|im_end|>\n", "<|im_end|>"))
    return copy


def test_the_loss_is_that_of_trl(base_model, tmp_path):
    trl = pytest.importorskip("trl", reason="TRL, the reference, is not installed")
    from datasets import Dataset

    made = adapted(base_model, "gpt_neox")
    folder = without_newlines_after_turns(base_model("gpt_neox"), tmp_path / "tokenizer")
    pairs = tokenized_pairs(folder)
    loss = CausalLMLoss(made.model)
    reference = reference_margins(tmp_path, made, loss, pairs, 4096, RecordingChannel())
    as_trl = [
        {
            "prompt": row["messages"][:-1],
            "chosen": row["messages"][-1:],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in map(pair_row, range(8))
    ]
    trainer = trl.DPOTrainer(
        model=made.model,
        args=trl.DPOConfig(
            output_dir=str(tmp_path / "trl"),
            per_device_train_batch_size=8,
            beta=BETA,
            use_cpu=True,
            bf16=False,
            report_to="none",
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(as_trl),
        processing_class=load_tokenizer(folder),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    change_adapter(made.model)  # after TRL has taken its reference
    theirs = float(trainer.compute_loss(made.model, batch))
    made.model.eval()
    ours = mean_loss(DpoObjective(loss, BETA, reference), pairs, 4096, CPU)
    assert abs(theirs - math.log(2)) > 1e-3
    assert ours.loss == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_fast_path_has_the_gradients_of_the_general_one(base_model, kind, tmp_path):
    made = adapted(base_model, kind)
    pairs = tokenized_pairs(base_model(kind))
    general = CausalLMLoss(made.model)
    reference = reference_margins(tmp_path, made, general, pairs, 4096, RecordingChannel())
    change_adapter(made.model)

    def gradients(loss) -> dict[str, torch.Tensor]:
        made.model.zero_grad()
        DpoObjective(loss, BETA, reference)(pairs, CPU).loss.backward()
        return {n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}

    expected = gradients(general)
    found = gradients(LlamaLoss(made.model))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        largest = float(gradient.abs().max())
        assert float((found[name] - gradient).abs().max()) < 1e-4 * largest, name


def test_the_margin_is_that_of_the_whole_answers(base_model):
    """Tokens that both answers begin with cancel out."""
    made, folder = adapted(base_model, "llama"), base_model("llama")
    tokenizer = load_tokenizer(folder)
    messages = [
        {"role": "user", "content": "red"},
        {"role": "assistant", "content": "red red green"},
    ]
    pair = tokenize_pair(tokenizer, 1, messages, "red red blue", 100)
    worse = [messages[0], {"role": "assistant", "content": "red red blue"}]

    def log_probability(conversation) -> float:
        example = tokenize_example(tokenizer, conversation, 100)
        ids = torch.tensor([example.input_ids])
        with torch.no_grad():
            logprobs = made.model(input_ids=ids).logits[0].log_softmax(-1)
        learned = [at for at, mine in enumerate(example.loss_mask) if mine]
        return sum(float(logprobs[at - 1, example.input_ids[at]]) for at in learned)

    with torch.no_grad():
        losses = batch_losses(CausalLMLoss(made.model), conversations([pair]), CPU)
        found = margins(losses, 1)
    expected = log_probability(messages) - log_probability(worse)
    assert float(found[0]) == pytest.approx(expected, abs=1e-4)
    assert sum(pair.chosen.loss_mask) < 5  # not the words that they share


def test_both_answers_keep_the_same_turns(base_model):
    tokenizer = load_tokenizer(base_model())
    messages = [
        {"role": "system", "content": "Name the colour."},
        *[
            {"role": role, "content": " ".join(["sand"] * 12)}
            for _ in range(3)
            for role in ("user", "assistant")
        ],
        {"role": "user", "content": "teal"},
        {"role": "assistant", "content": "teal"},
    ]
    whole = tokenize_pair(tokenizer, 1, messages, "mint " * 30, 1000)
    longer = whole.rejected.padded_tokens
    pair = tokenize_pair(tokenizer, 1, messages, "mint " * 30, longer - 1)
    assert pair.chosen.left_out == pair.rejected.left_out == 2
    prompt = pair.chosen.loss_mask.index(True)
    assert pair.chosen.input_ids[:prompt] == pair.rejected.input_ids[:prompt]


def test_the_better_answers_become_likelier(dpo_job):
    channel = RecordingChannel()
    result = run(dpo_job(), channel)
    points = [p for p in channel.of("point") if p["validation_loss"] is not None]
    assert points[0]["validation_loss"] == pytest.approx(math.log(2))
    assert points[-1]["validation_loss"] < 0.3
    assert points[-1]["validation_score"] == 1
    assert result["adapter"] == "adapter"
    assert channel.of("sample")[0]["step"] == 0


def test_only_rows_with_a_worse_answer_are_learned(dpo_job):
    channel = RecordingChannel()
    result = run(dpo_job(epochs=1), channel)
    assert result["steps"] == 3  # 24 pairs in batches of 8; the 16 other rows are not read


def test_rows_without_a_worse_answer_are_refused_in_words(job):
    with pytest.raises(UserError, match="worse answer"):
        run(job(method="dpo"), RecordingChannel())


def test_it_resumes_after_a_kill_as_if_nothing_had_happened(dpo_job):
    whole = run(dpo_job(folder="whole"), RecordingChannel())
    killed = dpo_job(folder="killed", save_seconds=0.001)
    train_until_killed(killed, random.Random(1).randint(3, 8))
    reference = (killed.folder / REFERENCE).read_text()
    resumed = run(killed, RecordingChannel())
    assert (killed.folder / REFERENCE).read_text() == reference
    assert resumed["validation_loss"] == pytest.approx(whole["validation_loss"], abs=1e-6)
    assert resumed["steps"] == whole["steps"]


def test_a_damaged_reference_ends_in_words(dpo_job):
    work = dpo_job()
    run(work, RecordingChannel(stop_after=3))
    (work.folder / REFERENCE).write_text("{")
    with pytest.raises(UserError, match="Start a new training"):
        run(work, RecordingChannel())


def test_it_goes_on_from_an_earlier_training(dpo_job, job, base_model):
    """The reference is the earlier adapter, not the base model."""
    supervised = job(folder="first", epochs=1)
    run(supervised, RecordingChannel())
    first = supervised.folder / "adapter"
    channel = RecordingChannel()
    barely = dpo_job(start_adapter=str(first), epochs=1, learning_rate=1e-9)
    run(barely, channel)
    earlier, later = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (first, barely.folder / "adapter")
    )
    assert all(torch.allclose(earlier[name], later[name], atol=1e-6) for name in earlier)
    assert channel.of("point")[-1]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    tuned = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base_model()), barely.folder / "adapter"
    )
    assert tuned.peft_config["default"].r == 4


def test_an_adapter_of_another_shape_is_refused(dpo_job, job):
    supervised = job(folder="first", epochs=1)
    run(supervised, RecordingChannel())
    work = dpo_job(start_adapter=str(supervised.folder / "adapter"), rank=8)
    with pytest.raises(UserError, match="rank 4, alpha 8"):
        run(work, RecordingChannel())


def test_a_missing_start_is_refused(dpo_job, tmp_path):
    with pytest.raises(UserError, match="Start from another"):
        run(dpo_job(start_adapter=str(tmp_path / "nothing")), RecordingChannel())


@pytest.mark.parametrize(("name", "value"), [("method", "ppo"), ("beta", 0)])
def test_settings_that_do_not_exist_are_refused(dpo_job, name, value):
    work = dpo_job()
    with pytest.raises(UserError, match=name):
        run(replace(work, spec=work.spec | {name: value}), RecordingChannel())
