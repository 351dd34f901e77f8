"""Suggestions: a candidate answers prompts, with the runner of evaluations."""

from dataclasses import replace

import pytest

from worker.channel import Job, UserError
from worker.suggesting.run import run


@pytest.fixture
def asked(job, tmp_path):
    rows = [
        {"row": 40 + n, "messages": [{"role": "user", "content": "Message " + "x" * n}]}
        for n in range(4)
    ]
    spec = {
        "candidate": job.spec["candidates"][1],
        "questions": rows,
        "made": 0,
        "max_new_tokens": 400,
    }
    return Job("suggest", tmp_path / "suggestions" / "1", spec)


def test_every_row_gets_a_suggestion_or_counts_as_refused(asked, recorder):
    channel = recorder()
    result = run(asked, channel)
    said = channel.of("suggestion")
    assert len(said) + result["refused"] == 4
    assert {one["candidate"] for one in said} <= {4}
    assert channel.of("progress")[-1]["done"] == 4
    assert channel.of("progress")[-1]["unit"] == "rows"
    assert result["stopped"] is False


def test_a_truncated_answer_is_no_suggestion(asked, recorder):
    channel = recorder()
    result = run(replace(asked, spec=asked.spec | {"max_new_tokens": 1}), channel)
    assert channel.of("suggestion") == []
    assert result["refused"] == 4


def test_stop_keeps_the_suggestions_so_far(asked, recorder):
    class Stopped(recorder):
        def stopping(self) -> bool:
            return True

    assert run(asked, Stopped())["stopped"] is True


def test_it_continues_where_it_was(asked, recorder):
    channel = recorder()
    run(
        replace(asked, spec=asked.spec | {"made": 3, "questions": asked.spec["questions"][:1]}),
        channel,
    )
    last = channel.of("progress")[-1]
    assert (last["done"], last["total"]) == (4, 4)


def test_a_platform_that_answers_nothing_raises_a_user_error(asked, recorder, monkeypatch):
    from finetune_app.providers.client import RemoteError
    from worker.evaluation import remote

    def refuse(*args, **kwargs):
        raise RemoteError("The key is not accepted.")

    monkeypatch.setattr(remote, "answer", refuse)
    there = {
        "id": 9,
        "name": "prompt",
        "base_model": None,
        "adapter": None,
        "endpoint": {"url": "https://api.example.com/v1", "model": "m", "key": ""},
    }
    with pytest.raises((UserError, TypeError)):
        run(replace(asked, spec=asked.spec | {"candidate": there}), recorder())
