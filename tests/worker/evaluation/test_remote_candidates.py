"""Evaluate a remote model."""

from dataclasses import replace

import pytest

from finetune_app.providers.client import Target
from tests import fake_provider
from worker.channel import UserError
from worker.evaluation.run import run


@pytest.fixture
def platform():
    with fake_provider.running() as platform:
        yield platform


@pytest.fixture
def remote_evaluation(platform, job):
    """The evaluation of `job` with one more candidate: `model` on the platform."""

    def build(model: str = "kind", **fields):
        target = Target(platform.url, model, fake_provider.KEY, private=True)
        one = {
            "id": 8,
            "name": "prompt",
            "adapter": None,
            "endpoint": target.to_json(),
            "instructions": "Say ok.",
        }
        others = job.spec["candidates"][:1]
        return replace(job, spec=job.spec | {"candidates": [*others, one]} | fields)

    return build


def test_a_remote_candidate_gets_its_own_prompt_and_is_scored(
    remote_evaluation, platform, recorder
):
    platform.reply_to = lambda messages: "ok"
    channel = recorder()
    result = run(remote_evaluation(), channel)
    answers = [answer for answer in channel.of("answer") if answer["candidate"] == 8]
    assert [answer["passed"] for answer in answers] == [True] * 4
    assert {(answer["prompt_tokens"], answer["tokens"]) for answer in answers} == {(40, 4)}
    asked = platform.requests[0]["body"]
    assert asked["messages"][0] == {"role": "system", "content": "Say ok."}
    assert asked["temperature"] == 0
    assert result["stopped"] is False
    assert "8" not in result["number_formats"]


def test_only_pending_prompts_are_asked(remote_evaluation, platform, recorder):
    answered = [[3, row] for row in range(10, 14)] + [[8, 10], [8, 11], [8, 12]]
    channel = recorder()
    run(remote_evaluation(answered=answered), channel)
    assert len(platform.requests) == 1
    assert channel.of("progress")[-1]["done"] == 8


def test_a_rejected_key_fails_the_job(remote_evaluation, recorder):
    with pytest.raises(UserError, match="did not accept the key") as caught:
        run(remote_evaluation("wrong key"), recorder())
    assert fake_provider.KEY not in caught.value.message


def test_a_rejected_request_after_others_is_a_failed_answer(remote_evaluation, recorder):
    channel = recorder()
    run(remote_evaluation("fussy", answered=[[8, 10]]), channel)
    failed = [answer for answer in channel.of("answer") if answer["candidate"] == 8]
    assert len(failed) == 3
    assert all(one["finish_reason"] == "refused" and one["passed"] is False for one in failed)


def test_no_event_contains_the_api_key(remote_evaluation, recorder):
    channel = recorder()
    run(remote_evaluation(), channel)
    assert fake_provider.KEY not in str(channel.events)


def test_stop_works_during_requests(remote_evaluation, recorder):
    channel = recorder(stop_after=4)
    assert run(remote_evaluation("slow"), channel)["stopped"] is True
