"""A candidate suggests answers."""

from dataclasses import replace

import pytest

from worker.channel import Job, UserError
from worker.suggesting.run import run


@pytest.fixture
def suggestion_job(job, tmp_path):
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


def test_every_row_gets_a_suggestion_or_is_counted_as_refused(suggestion_job, recorder):
    channel = recorder()
    result = run(suggestion_job, channel)
    events = channel.of("suggestion")
    assert len(events) + result["refused"] == 4
    assert {one["candidate"] for one in events} <= {4}
    assert channel.of("progress")[-1]["done"] == 4
    assert channel.of("progress")[-1]["unit"] == "rows"
    assert result["stopped"] is False


def test_a_truncated_answer_is_no_suggestion(suggestion_job, recorder):
    channel = recorder()
    result = run(replace(suggestion_job, spec=suggestion_job.spec | {"max_new_tokens": 1}), channel)
    assert channel.of("suggestion") == []
    assert result["refused"] == 4
    assert {one["row"] for one in channel.of("refused")} == {40, 41, 42, 43}


def test_stop_keeps_the_suggestions_so_far(suggestion_job, recorder):
    class Stopped(recorder):
        def stopping(self) -> bool:
            return True

    assert run(suggestion_job, Stopped())["stopped"] is True


def test_a_resumed_run_counts_earlier_suggestions(suggestion_job, recorder):
    channel = recorder()
    run(
        replace(
            suggestion_job,
            spec=suggestion_job.spec
            | {"made": 3, "questions": suggestion_job.spec["questions"][:1]},
        ),
        channel,
    )
    last = channel.of("progress")[-1]
    assert (last["done"], last["total"]) == (4, 4)


def test_a_rejected_key_raises_a_user_error(suggestion_job, recorder, monkeypatch):
    from finetune_app.providers.client import RemoteError
    from worker.evaluation import remote

    def reject(*args, **kwargs):
        raise RemoteError("The key is not accepted.")

    monkeypatch.setattr(remote, "answer", reject)
    remote_candidate = {
        "id": 9,
        "name": "prompt",
        "base_model": None,
        "adapter": None,
        "endpoint": {"url": "https://api.example.com/v1", "model": "m", "key": ""},
    }
    with pytest.raises(UserError, match="The key is not accepted"):
        run(
            replace(suggestion_job, spec=suggestion_job.spec | {"candidate": remote_candidate}),
            recorder(),
        )
