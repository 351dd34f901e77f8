"""Run an evaluation from its spec to its result."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.worker.engine.tiny_models import make_base
from worker.channel import UserError
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.evaluation.run import run


def pairs(answers: list[dict]) -> set[tuple[int, int]]:
    return {(answer["candidate"], answer["row"]) for answer in answers}


ALL = {(candidate, row) for candidate in (3, 4, 6) for row in (10, 11, 12, 13)}


def test_every_candidate_answers_every_test_prompt_and_no_other(job, recorder):
    channel = recorder()
    result = run(job, channel)
    answers = channel.of("answer")
    assert len(answers) == 12
    assert pairs(answers) == ALL
    assert result["prompts"] == 4
    assert result["number_formats"] == {"3": "fp32", "4": "fp32", "6": "fp32"}
    assert result["stopped"] is False
    assert channel.of("progress")[-1] == {
        "event": "progress",
        "done": 12,
        "total": 12,
        "unit": "answers",
    }
    assert all(a["passed"] is (a["text"].strip() == "ok") and a["why"] for a in answers)


def test_answers_are_compared_in_meaning_by_the_embedder_of_the_child(job, recorder):
    channel = recorder()
    spec = job.spec | {"measure": {"kind": "meaning", "settings": {"threshold": 0.9}}}
    run(replace(job, spec=spec), channel)
    answers = channel.of("answer")
    assert pairs(answers) == ALL
    assert all(0 <= one["score"] <= 1 for one in answers)
    trivial = {one["baseline"]: one["answers"] for one in channel.of("trivial_answers")}
    assert all(one["passed"] for one in trivial["commonest"])  # every wanted answer is “ok”
    assert {"constant_repeat", "repeat"} <= trivial.keys()


def test_batched_answers_equal_single_ones(job, recorder, base, adapter):
    channel = recorder()
    run(job, channel)
    asked = [{"role": "user", "content": "Message xx"}]
    shots = [
        {"role": "system", "content": "Sort it."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    with Engine(base, "fp32") as engine:
        expected = {
            3: engine.generate([GenerationRequest(asked, max_new_tokens=12)])[0].text,
            4: engine.generate([GenerationRequest(asked, adapter, max_new_tokens=12)])[0].text,
            6: engine.generate([GenerationRequest(shots + asked, max_new_tokens=12)])[0].text,
        }
    assert {a["candidate"]: a["text"] for a in channel.of("answer") if a["row"] == 12} == expected
    assert len(set(expected.values())) == 3


def test_a_stopped_job_continues_with_the_rest(job, recorder):
    first = recorder(stop_after=5)
    assert run(job, first)["stopped"] is True
    answered = pairs(first.of("answer"))
    assert 5 <= len(answered) < 12
    # Without a requested format, the one of the answers so far is used.
    candidates = [one | {"number_format": ""} for one in job.spec["candidates"]]
    spec = job.spec | {"answered": sorted(answered), "candidates": candidates}
    second = recorder()
    assert set(run(replace(job, spec=spec), second)["number_formats"].values()) == {"fp32"}
    assert pairs(second.of("answer")) == ALL - answered
    assert second.of("progress")[0]["done"] == len(answered)
    assert second.of("progress")[-1]["done"] == 12


def test_answers_to_a_blind_choice_get_no_score(job, recorder):
    channel = recorder()
    run(replace(job, spec=job.spec | {"measure": {"kind": "choice", "settings": {}}}), channel)
    assert {answer["passed"] for answer in channel.of("answer")} == {None}


def add_too_long_a_prompt(job) -> None:
    turns = [
        {"role": "user", "content": "x" * 5000},
        {"role": "assistant", "content": "ok"},
    ]
    long = {"id": 99, "split": "test", "messages": turns}
    version = Path(job.spec["version"])
    version.write_text(version.read_text() + "\n" + json.dumps(long))


def test_in_a_blind_choice_a_prompt_that_is_too_long_has_a_reason_and_no_score(job, recorder):
    add_too_long_a_prompt(job)
    channel = recorder()
    run(replace(job, spec=job.spec | {"measure": {"kind": "choice", "settings": {}}}), channel)
    found = [a for a in channel.of("answer") if a["row"] == 99]
    assert [(a["passed"], a["score"], a["finish_reason"]) for a in found] == [
        (None, None, "refused")
    ] * 3
    assert all("Shorten it" in a["why"] for a in found)


def test_a_prompt_that_is_too_long_fails_only_its_own_answers(job, recorder, base):
    add_too_long_a_prompt(job)
    channel = recorder()
    run(job, channel)
    failed = [a for a in channel.of("answer") if a["row"] == 99]
    assert len(failed) == 3
    assert all(a["passed"] is False and "Shorten it" in a["why"] for a in failed)
    assert len(channel.of("answer")) == 15


def test_unusable_inputs_raise_user_errors(job, recorder, tmp_path):
    one = job.spec["candidates"][0]
    for change, words in [
        ({"version": str(tmp_path / "none.jsonl")}, "frozen version"),
        ({"candidates": [one | {"base_model": str(tmp_path)}]}, "config.json is missing"),
        ({"candidates": [one | {"adapter": str(tmp_path)}]}, "no adapter_model"),
    ]:
        with pytest.raises(UserError, match=words):
            run(replace(job, folder=tmp_path / "new", spec=job.spec | change), recorder())


def test_the_general_check_reports_each_adapter_and_caches_the_base(job, recorder):
    job = replace(job, spec=job.spec | {"general": True})
    first = recorder()
    run(job, first)
    (found,) = first.of("general")
    assert found["candidate"] == 4
    assert found["perplexity_ratio"] > 0
    assert found["text_tokens"] > 5000
    assert found["instructions"] == 20
    assert len(found["answers"]) == found["instructions"] + found["unrelated"]
    (cache_file,) = (job.folder.parent / "general-cache").glob("*.json")
    written_at = cache_file.stat().st_mtime_ns
    second = recorder()
    answered = [list(pair) for pair in ALL]
    run(replace(job, spec=job.spec | {"answered": answered}), second)
    assert cache_file.stat().st_mtime_ns == written_at
    assert second.of("general") == [found]
    assert second.of("answer") == []


def test_latency_is_measured_for_each_candidate(job, recorder):
    channel = recorder()
    run(job, channel)
    assert [one["candidate"] for one in channel.of("latency")] == [3, 4, 6]
    assert all(one["seconds"] > 0 for one in channel.of("latency"))


def test_base_models_are_loaded_one_after_the_other(job, recorder, tmp_path):
    other = make_base(tmp_path / "other", "qwen2")
    last = job.spec["candidates"][0] | {"id": 9, "base_model": str(other)}
    spec = job.spec | {"candidates": [*job.spec["candidates"], last]}
    channel = recorder()
    result = run(replace(job, spec=spec), channel)
    order = [answer["candidate"] for answer in channel.of("answer")]
    assert set(order[:12]) == {3, 4, 6}
    assert order[12:] == [9] * 4
    assert channel.of("progress")[-1]["done"] == channel.of("progress")[-1]["total"] == 16
    assert result["number_formats"]["9"] == "fp32"


def test_a_shared_adapter_is_checked_once_and_reported_for_both(job, recorder):
    tuned = job.spec["candidates"][1]
    spec = job.spec | {"general": True, "candidates": [tuned, tuned | {"id": 8}]}
    channel = recorder()
    run(replace(job, spec=spec), channel)
    first, second = channel.of("general")
    assert (first["candidate"], second["candidate"]) == (4, 8)
    assert first | {"candidate": 8} == second
