"""A QLoRA adapter answers on the rounded weights it learned on; its base model as it is."""

from dataclasses import replace

import pytest

from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.evaluation import run as evaluation
from worker.evaluation.run import run

pytest.importorskip("bitsandbytes")
ASKED = [{"role": "user", "content": "Message xx"}]  # row 12
CHECKS = ("general", "refusals", "recall")


@pytest.fixture
def with_qlora(job):
    """The evaluation, its tuned candidate as one of a QLoRA training."""
    base, tuned, prompt = job.spec["candidates"]
    return replace(
        job, spec=job.spec | {"candidates": [base, tuned | {"number_format": "nf4"}, prompt]}
    )


def checked(job):
    return replace(job, spec=job.spec | {"general": True, "learned_from": job.spec["version"]})


def answers(channel, candidate):
    return {a["row"]: a["text"] for a in channel.of("answer") if a["candidate"] == candidate}


def same_as(general, base, number_format):
    """Share of the base model's answers that it gives in this format."""
    asked = [
        GenerationRequest([{"role": "user", "content": one["prompt"]}], max_new_tokens=4)
        for one in general["answers"]
    ]
    with Engine(base, number_format) as engine:
        texts = [one.text for one in engine.generate(asked)]
    pairs = zip(texts, general["answers"], strict=True)
    return sum(text == one["base"] for text, one in pairs) / len(texts)


def test_only_the_tuned_candidate_is_answered_on_rounded_weights(
    job, with_qlora, base, adapter, recorder, tmp_path
):
    plain, channel = recorder(), recorder()
    run(replace(job, folder=tmp_path / "plain"), plain)
    result = run(with_qlora, channel)
    assert result["number_formats"] == {"3": "fp32", "4": "nf4", "6": "fp32"}
    for untuned in (3, 6):
        assert answers(channel, untuned) == answers(plain, untuned)
    with Engine(base, "nf4", may_merge=False) as engine:
        expected = engine.generate([GenerationRequest(ASKED, adapter, max_new_tokens=12)])[0].text
    assert answers(channel, 4)[12] == expected
    assert answers(channel, 4) != answers(plain, 4)
    assert [event["candidate"] for event in channel.of("latency")] == [3, 6, 4]


@pytest.mark.usefixtures("short_checks")
def test_what_else_changed_is_compared_with_the_base_model_as_it_is(
    with_qlora, base, recorder, tmp_path
):
    channel = recorder()
    run(checked(with_qlora), channel)
    for check in CHECKS:
        assert [event["candidate"] for event in channel.of(check)] == [4]
    general = channel.of("general")[0]
    assert same_as(general, base, "bf16") > 0.8 > same_as(general, base, "nf4")
    assert "rounded to 4 bits" not in general["sentence"]


@pytest.mark.usefixtures("short_checks")
def test_without_memory_for_both_it_says_what_it_was_compared_with(
    with_qlora, base, recorder, monkeypatch
):
    monkeypatch.setattr(evaluation, "fits_beside", lambda model: False)
    channel = recorder()
    run(checked(with_qlora), channel)
    general = channel.of("general")[0]
    assert "Compared with the base model rounded to 4 bits" in general["sentence"]
    assert same_as(general, base, "nf4") > 0.8 > same_as(general, base, "bf16")


def test_a_continued_evaluation_goes_on_in_the_same_formats(with_qlora, recorder):
    first = recorder(stop_after=6)
    run(with_qlora, first)
    before = [[a["candidate"], a["row"]] for a in first.of("answer")]
    second = recorder()
    result = run(replace(with_qlora, spec=with_qlora.spec | {"answered": before}), second)
    assert result["number_formats"] == {"3": "fp32", "4": "nf4", "6": "fp32"}
    after = [[a["candidate"], a["row"]] for a in second.of("answer")]
    assert sorted(before + after) == [[c, r] for c in (3, 4, 6) for r in range(10, 14)]
