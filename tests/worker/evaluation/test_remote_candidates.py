"""A remote model takes the same test, over the network."""

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
def elsewhere(platform, job):
    """The evaluation of `job` with one more candidate: `model` on the platform."""

    def make(model: str = "kind", **fields):
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

    return make


def test_it_gets_its_own_prompt_and_is_scored_like_the_others(elsewhere, platform, recorder):
    platform.say = lambda messages: "ok"
    channel = recorder()
    result = run(elsewhere(), channel)
    mine = [answer for answer in channel.of("answer") if answer["candidate"] == 8]
    assert [answer["passed"] for answer in mine] == [True] * 4
    assert {(answer["prompt_tokens"], answer["tokens"]) for answer in mine} == {(40, 4)}
    asked = platform.requests[0]["body"]
    assert asked["messages"][0] == {"role": "system", "content": "Say ok."}
    assert asked["temperature"] == 0
    assert result["stopped"] is False
    assert "8" not in result["number_formats"]


def test_only_pending_prompts_are_asked(elsewhere, platform, recorder):
    answered = [[3, row] for row in range(10, 14)] + [[8, 10], [8, 11], [8, 12]]
    channel = recorder()
    run(elsewhere(answered=answered), channel)
    assert len(platform.requests) == 1
    assert channel.of("progress")[-1]["done"] == 8


def test_a_platform_that_answers_nothing_fails_the_job(elsewhere, recorder):
    with pytest.raises(UserError, match="did not accept the key") as caught:
        run(elsewhere("wrong key"), recorder())
    assert fake_provider.KEY not in caught.value.message


def test_a_refused_request_after_others_is_a_failed_answer(elsewhere, recorder):
    channel = recorder()
    run(elsewhere("fussy", answered=[[8, 10]]), channel)
    refused = [answer for answer in channel.of("answer") if answer["candidate"] == 8]
    assert len(refused) == 3
    assert all(one["finish_reason"] == "refused" and one["passed"] is False for one in refused)


def test_its_api_key_is_in_no_event(elsewhere, recorder):
    channel = recorder()
    run(elsewhere(), channel)
    assert fake_provider.KEY not in str(channel.events)


def test_stop_works_while_requests_are_under_way(elsewhere, recorder):
    channel = recorder(stop_after=4)
    assert run(elsewhere("slow"), channel)["stopped"] is True
