"""Replay of general conversations against forgetting: prompts, answers, schedule, effect."""

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.job_messages import KEPT
from finetune_app.datasets.near_duplicates import jaccard
from tests.starter import FOLDER, needs_starter
from tests.worker.training.base_model_says import base_probabilities
from tests.worker.training.recording_channel import RecordingChannel
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.evaluation.general_check.check import PROMPTS as CHECKED
from worker.evaluation.general_check.perplexity import TEXTS
from worker.template import load_tokenizer, prompt_token_ids
from worker.training import run
from worker.training.data import collate
from worker.training.model_loader import load
from worker.training.prepare import choose_loss
from worker.training.replay import replay_examples, replay_indices, replay_weight
from worker.training.replay.answers import ANSWER_TOKENS, prompts, recorded_answers
from worker.training.replay.targets import states_file
from worker.training.spec import TrainingSpec

SHARE = 0.125


def everyday(base, folder, channel):
    return replay_examples(base, load_tokenizer(base), "fp32", folder, channel)


def prompt_texts() -> list[str]:
    return [message["content"] for messages in prompts() for message in messages]


def test_replay_prompts_are_unique_and_varied():
    asked = prompts()
    assert 60 <= len(asked) <= 80
    assert len({json.dumps(messages) for messages in asked}) == len(asked)
    assert all(messages[-1]["role"] == "user" for messages in asked)
    first_roles = Counter(messages[0]["role"] for messages in asked)
    assert first_roles["system"] >= 6
    assert first_roles["user"] >= 50


def test_no_prompt_is_in_or_near_the_general_check():
    """Training on it would make the general check meaningless."""
    paragraphs = [p for path in TEXTS for p in path.read_text().split("\n\n") if p.strip()]
    for text in prompt_texts():
        assert text not in "\n\n".join(paragraphs)
        for checked in [*CHECKED, *paragraphs]:
            assert jaccard(text.lower(), checked.lower()) < 0.6, (text, checked)


def test_one_example_in_eight_is_replay_and_each_is_used_once_per_pass():
    per_step = [replay_indices(step, 8, SHARE, 76, 17) for step in range(700)]
    assert {len(rows) for rows in per_step} == {1, 2}
    assert sum(map(len, per_step)) == 800  # beside 5,600 examples
    in_order = [row for rows in per_step for row in rows]
    assert sorted(in_order[:76]) == list(range(76))
    assert sorted(in_order[76:152]) == list(range(76))
    assert in_order[:76] != in_order[76:152]
    assert per_step[333] == replay_indices(333, 8, SHARE, 76, 17)  # as after a restart
    assert replay_indices(333, 8, SHARE, 76, 18) != per_step[333]


def test_replay_can_be_turned_off():
    assert replay_indices(5, 8, 0.0, 76, 17) == []
    assert replay_indices(5, 8, SHARE, 0, 17) == []
    assert replay_weight(8, 0) == 0


def test_a_replay_example_weighs_more_than_an_example():
    assert replay_weight(8, 1) == pytest.approx(4 / 12)
    assert replay_weight(8, 1) < replay_weight(8, 2) < 1
    assert replay_weight(4, 1) == replay_weight(8, 2)


def test_replay_answers_are_the_base_models_own(base_model, tmp_path):
    """Each token is the base model's first choice, but for what a batch rounds otherwise."""
    base = base_model()
    rows = everyday(base, tmp_path, RecordingChannel())
    assert len(rows) == len(prompts())
    tokenizer = load_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for messages, row in zip(prompts(), rows, strict=True):
        asked = prompt_token_ids(tokenizer, messages)
        learned = len(row.input_ids) - len(asked)
        assert row.input_ids[: len(asked)] == asked
        assert 0 < learned <= ANSWER_TOKENS
        assert row.loss_mask == [False] * len(asked) + [True] * learned
        with torch.no_grad():
            logits = model(torch.tensor([row.input_ids])).logits[0, len(asked) - 1 : -1]
        answered = torch.tensor(row.input_ids[len(asked) :])
        behind = logits.amax(-1) - logits.gather(-1, answered[:, None])[:, 0]
        assert behind.max() < 1e-3


@needs_starter
def test_the_starters_recorded_answers_are_current(tmp_path):
    """The first tokens of four answers are compared."""
    starter = tmp_path / "models" / STARTER
    starter.parent.mkdir()
    starter.symlink_to(FOLDER)
    channel = RecordingChannel()
    rows = everyday(starter, tmp_path / "run", channel)
    assert channel.of("phase") == []
    assert len(rows) == len(prompts())
    sampled = list(zip(prompts(), recorded_answers(FOLDER), strict=True))[::20]
    with Engine(FOLDER, "fp32") as engine:
        requests = [GenerationRequest(asked, max_new_tokens=8) for asked, _ in sampled]
        answers = engine.generate(requests)
    assert [one.token_ids for one in answers] == [recorded.tokens[:8] for _, recorded in sampled]


def test_other_base_models_have_no_recorded_answers(base_model):
    assert recorded_answers(base_model()) == []


def test_a_truncated_answer_does_not_teach_to_stop(base_model, tmp_path):
    tokenizer = load_tokenizer(base_model())
    rows = everyday(base_model(), tmp_path, RecordingChannel())
    cut = [row for row in rows if sum(row.loss_mask) == ANSWER_TOKENS]
    assert cut
    assert any(row.input_ids[-1] != tokenizer.eos_token_id for row in cut)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_replay_has_no_gradient_before_the_first_update(base_model, tmp_path, kind):
    base = base_model(kind)
    rows = everyday(base, tmp_path, RecordingChannel())[:3]
    made = load(TrainingSpec(base_model=base, version=base, rank=4), "fp32")
    loss, batch = choose_loss(made, RecordingChannel()), collate(rows, torch.device("cpu"))
    loss(batch, base_probabilities(loss, batch)).losses.sum().backward()
    as_base = [p.grad.abs().max() for p in made.model.parameters() if p.requires_grad]
    made.model.zero_grad()
    loss(batch).losses.sum().backward()
    labelled = [p.grad.abs().max() for p in made.model.parameters() if p.requires_grad]
    assert max(as_base) < 1e-3 * max(labelled)


def test_replay_answers_are_generated_once_per_base_model(base_model, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    everyday(base_model("qwen2"), first, RecordingChannel())
    again = RecordingChannel()
    rows = everyday(base_model("qwen2"), second, again)
    assert rows
    assert again.of("phase") == []
    assert (first / "everyday.json").read_text() == (second / "everyday.json").read_text()


def test_another_number_format_generates_its_own(base_model, tmp_path):
    """A training's rows do not depend on who trained before it."""
    base = tmp_path / "models" / "llama"
    shutil.copytree(base_model(), base)
    everyday(base, tmp_path / "fp32", RecordingChannel())
    channel = RecordingChannel()
    replay_examples(base, load_tokenizer(base), "bf16", tmp_path / "bf16", channel)
    assert channel.of("phase")


def test_what_was_kept_of_other_files_of_a_base_model_is_deleted(base_model, tmp_path):
    """Installed again, or fetched again, it has other times of change."""
    models = tmp_path / "models"
    base = shutil.copytree(base_model(), models / "tiny")
    other = shutil.copytree(base_model(), models / "tiny-2")

    def kept_after_training(folder: str) -> set[Path]:
        rows = everyday(base, tmp_path / folder, RecordingChannel())
        file = states_file(base, rows, "fp32", "lora")
        file.write_bytes(b"states")
        return {path for path in (models / KEPT).rglob("*") if path.is_file()}

    everyday(other, tmp_path / "other", RecordingChannel())
    (models / KEPT / "0123.safetensors").write_bytes(b"as an earlier release named them")
    first = kept_after_training("first")
    assert len(first) == 3
    assert kept_after_training("again") == first
    os.utime(base / "config.json")
    later = kept_after_training("later")
    assert len(later) == 3
    assert len(later & first) == 1  # of the other model


def test_stop_works_while_replay_answers_are_generated(base_model, tmp_path, monkeypatch):
    monkeypatch.setattr("worker.training.replay.answers.cache_key", lambda base: "never-asked")
    channel = RecordingChannel(stop_after=0)
    assert everyday(base_model(), tmp_path, channel) == []
    assert not (tmp_path / "everyday.json").exists()


def test_a_resumed_training_uses_the_same_replay_examples(job, monkeypatch):
    work = job(replay_share=SHARE)
    run(work, RecordingChannel(stop_after=2))
    monkeypatch.setattr("worker.training.replay.answers._generate", None)  # raises if called
    monkeypatch.setattr("worker.training.replay.answers.cache_key", lambda base: "swept away")
    assert run(work, RecordingChannel())["stopped"] is False


def test_replay_does_not_count_as_steps_tokens_or_loss(job):
    plain_channel, replay_channel = RecordingChannel(), RecordingChannel()
    plain = run(job(folder="plain"), plain_channel)
    with_replay = run(job(folder="with_replay", replay_share=SHARE), replay_channel)
    assert (with_replay["steps"], with_replay["tokens"]) == (plain["steps"], plain["tokens"])
    points, replay_points = plain_channel.of("point"), replay_channel.of("point")
    assert replay_points[0]["validation_loss"] == points[0]["validation_loss"]
    assert replay_points[1]["loss"] == points[1]["loss"]  # computed before the first update
    assert replay_points[5]["loss"] != points[5]["loss"]


def test_replay_keeps_the_loss_of_the_base_models_answers_lower(job, base_model, tmp_path):
    from worker.training import loop
    from worker.training.objectives import AnswerObjective, mean_loss

    rows = everyday(base_model(), tmp_path / "rows", RecordingChannel())[:20]

    def loss_on_replay(share: float) -> float:
        work = job(folder=f"share-{share}", epochs=4, replay_share=share)
        run(work, RecordingChannel())
        spec = loop.TrainingSpec.from_json(work.spec)
        training, _ = loop.prepare(spec, work.folder, RecordingChannel())
        newest = loop.checkpoints.newest(training.checkpoints)
        training.optimizer.restore(newest.optimizer)
        objective = AnswerObjective(training.loss)
        return mean_loss(objective, rows, 4096, torch.device("cpu")).loss

    assert loss_on_replay(SHARE) < loss_on_replay(0.0)


@pytest.mark.parametrize("share", [-0.1, 0.6])
def test_an_invalid_replay_share_is_rejected(job, share):
    from worker.channel import UserError

    work = job()
    with pytest.raises(UserError, match="replay_share"):
        run(replace(work, spec=work.spec | {"replay_share": share}), RecordingChannel())
