"""Evaluate a remote model."""

from dataclasses import replace

import pytest

from finetune_app.providers import client
from finetune_app.providers.client import Target
from tests import fake_provider
from worker.channel import UserError
from worker.evaluation import remote
from worker.evaluation.run import run

FIRST_TWO = ("Message ", "Message x")  # of the four test prompts, which are asked in this order


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


def of_remote(channel) -> list[dict]:
    return [answer for answer in channel.of("answer") if answer["candidate"] == 8]


def test_a_remote_candidate_gets_its_own_prompt_and_is_scored(
    remote_evaluation, platform, recorder
):
    platform.reply_to = lambda messages: "ok"
    channel = recorder()
    result = run(remote_evaluation(), channel)
    answers = of_remote(channel)
    assert [answer["passed"] for answer in answers] == [True] * 4
    assert {(answer["prompt_tokens"], answer["tokens"]) for answer in answers} == {(40, 4)}
    asked = platform.requests[0]["body"]
    assert asked["messages"][0] == {"role": "system", "content": "Say ok."}
    assert asked["temperature"] == 0
    assert result["stopped"] is False
    assert "8" not in result["number_formats"]


def test_an_answer_that_no_database_stores_is_kept_with_symbols(
    remote_evaluation, platform, recorder
):
    """JSON may hold NUL and half a character; PostgreSQL and UTF-8 may not."""
    platform.reply_to = lambda messages: "half \ud83d and \0"
    channel = recorder()
    run(remote_evaluation(), channel)
    assert {answer["text"].strip() for answer in of_remote(channel)} == {"half � and ␀"}


def test_it_draws_as_the_candidate_does(remote_evaluation, platform, recorder):
    job = remote_evaluation()
    job.spec["candidates"][-1]["sampling"] = {"temperature": 1.0, "top_p": 0.5}
    run(job, recorder())
    asked = platform.requests[0]["body"]
    assert (asked["temperature"], asked["top_p"]) == (1.0, 0.5)


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


@pytest.mark.parametrize("problem", ["fussy", "flagged"])
def test_a_rejected_question_is_a_failed_answer(
    remote_evaluation, platform, recorder, monkeypatch, problem
):
    """Whether the platform answers at all may only be seen after it."""
    monkeypatch.setattr(remote, "CONCURRENT_REQUESTS", 1)
    platform.reply_to = lambda messages: problem if messages[-1]["content"] in FIRST_TWO else "ok"
    channel = recorder()
    run(remote_evaluation(), channel)
    answers = {one["row"]: one for one in of_remote(channel)}
    assert [answers[row]["passed"] for row in range(10, 14)] == [False, False, True, True]
    assert answers[10]["finish_reason"] == answers[11]["finish_reason"] == "refused"


def test_a_platform_that_rejects_every_question_fails_the_job(remote_evaluation, recorder):
    channel = recorder()
    with pytest.raises(UserError, match="did not accept the question"):
        run(remote_evaluation("fussy"), channel)
    assert not of_remote(channel)


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(client, "MAX_RETRY_WAIT_SECONDS", 0)


def test_a_question_at_which_the_platform_errs_each_time_is_a_failed_answer(
    remote_evaluation, platform, recorder, no_waiting
):
    """Or the evaluation could never end. Others are answered meanwhile."""
    platform.reply_to = lambda messages: (
        "broken" if messages[-1]["content"] == FIRST_TWO[0] else "ok"
    )
    channel = recorder()
    before = [[8, row] for row in range(11, 14)]
    assert run(remote_evaluation(answered=before), channel)["stopped"] is False
    (answer,) = of_remote(channel)
    assert (answer["row"], answer["passed"], answer["finish_reason"]) == (10, False, "refused")
    assert "(503)" in answer["why"]
    assert remote.ONLY_THIS in answer["why"]


def test_a_platform_that_errs_at_other_questions_too_fails_the_job(
    remote_evaluation, platform, recorder, no_waiting
):
    platform.reply_to = lambda messages: "broken"
    channel = recorder()
    with pytest.raises(UserError, match="All answers so far are kept") as caught:
        run(remote_evaluation(answered=[[8, row] for row in range(11, 14)]), channel)
    assert remote.ONLY_THIS not in caught.value.message
    assert not of_remote(channel)


def test_a_platform_that_erred_for_a_while_is_asked_once_more(
    remote_evaluation, platform, recorder, no_waiting
):
    asked = []

    def reply(messages):
        asked.append(messages[-1]["content"])
        return "broken" if len(asked) <= client.MAX_ATTEMPTS else "ok"

    platform.reply_to = reply
    channel = recorder()
    run(remote_evaluation(answered=[[8, row] for row in range(11, 14)]), channel)
    assert [answer["text"] for answer in of_remote(channel)] == ["ok "]
    assert asked[-1] == asked[0] != asked[-2], "another question, then this one again"


@pytest.mark.parametrize("problem", ["wrong key", "poor", "no credit", "busy"])
def test_what_is_no_fault_of_the_question_is_no_answer(
    remote_evaluation, platform, recorder, no_waiting, problem
):
    """Wherever it begins in the test, and also where the test had answers before."""
    platform.reply_to = lambda messages: problem if messages[-1]["content"] in FIRST_TWO else "ok"
    channel = recorder()
    with pytest.raises(UserError, match="All answers so far are kept") as caught:
        run(remote_evaluation(answered=[[8, 13]]), channel)
    assert platform.place.split(":")[0] in caught.value.message
    assert [one["row"] for one in of_remote(channel)] == [12]


def test_a_platform_that_breaks_down_is_not_asked_all_the_rest(
    remote_evaluation, platform, recorder, monkeypatch
):
    monkeypatch.setattr(remote, "CONCURRENT_REQUESTS", 1)
    monkeypatch.setattr(remote, "MAX_ERRORS_IN_A_ROW", 2)
    platform.reply_to = lambda messages: "ok" if len(platform.requests) == 1 else "poor"
    channel = recorder()
    with pytest.raises(UserError, match="no credit left"):
        run(remote_evaluation(), channel)
    assert len(of_remote(channel)) == 1
    assert len(platform.requests) <= 4, "one more may have been under way"


def test_no_event_contains_the_api_key(remote_evaluation, recorder):
    channel = recorder()
    run(remote_evaluation(), channel)
    assert fake_provider.KEY not in str(channel.events)


def test_stop_works_during_requests(remote_evaluation, recorder):
    channel = recorder(stop_after=4)
    assert run(remote_evaluation("slow"), channel)["stopped"] is True
