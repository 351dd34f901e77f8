"""The answers to validation prompts are those that the exported adapter gives later."""

import pytest

from tests.worker.training.recording_channel import RecordingChannel
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.training import run
from worker.training.validation_answers import computable_measure


@pytest.mark.parametrize(
    ("measure", "kind"),
    [
        ({"kind": "number", "settings": {"tolerance": 5}}, "number"),
        ({"kind": "exact"}, "exact"),
        ({"kind": "choice", "settings": {}}, None),  # a person decides
        ({"kind": "meaning", "settings": {}}, None),  # no second model beside the training
        ({}, None),
    ],
)
def test_a_measure_scores_or_leaves_it_to_the_loss(measure, kind):
    found = computable_measure(measure)
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox"])
def test_the_last_sample_is_what_the_engine_answers_with_the_adapter(job, kind):
    work = job(kind, sample_prompts=6, epochs=6, patience=30)
    channel = RecordingChannel()
    result = run(work, channel)
    best = [one for one in channel.of("sample") if one["step"] == result["best_step"]]
    with Engine(work.spec["base_model"], "fp32", may_merge=False) as engine:
        for sample in best:
            asked = [{"role": "user", "content": sample["prompt"]}]
            adapter = work.folder / "adapter"
            request = GenerationRequest(asked, adapter, max_new_tokens=4)
            assert engine.generate([request])[0].text.strip() == sample["answer"]


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_asking_changes_nothing_of_what_is_learned(job, kind):
    asked = run(job(kind, folder="asked", sample_prompts=6), RecordingChannel())
    silent = {"sample_prompts": 0, "validation_prompts": 0}
    unasked = run(job(kind, folder="unasked", **silent), RecordingChannel())
    assert asked["train_loss"] == pytest.approx(unasked["train_loss"], abs=1e-6)
    assert asked["validation_loss"] == pytest.approx(unasked["validation_loss"], abs=1e-6)


def test_prompt_and_answer_fit_in_the_longest_example(job):
    channel = RecordingChannel()
    run(job(max_tokens=36, sample_prompts=6, max_new_tokens=20, epochs=1), channel)
    asked = {sample["index"] for sample in channel.of("sample")}
    assert asked == {0, 1, 2, 3}  # the other two of six are too long


def test_the_score_is_the_share_of_right_answers(job):
    channel = RecordingChannel()
    result = run(job(epochs=8, sample_prompts=6, patience=50), channel)
    scores = {p["step"]: p["validation_score"] for p in channel.of("point")}
    assert scores[0] is None  # the base model's answers are not scored
    for step, score in scores.items():
        right = [s["passed"] for s in channel.of("sample") if s["step"] == step]
        if score is not None:
            assert score == pytest.approx(sum(right) / 6)
    assert result["validation_score"] == max(s for s in scores.values() if s is not None) > 0


def test_a_graded_measure_scores_parts_of_answers(job):
    channel = RecordingChannel()
    work = job(epochs=8, sample_prompts=6, measure={"kind": "close", "settings": {}})
    score = run(work, channel)["validation_score"]
    assert 0 < score <= 1
    assert score * 6 != round(score * 6)
