"""A candidate answers each prompt twice; what is the same or of no use is drawn again."""

from dataclasses import replace

import pytest

from worker.channel import Job, UserError
from worker.engine.adapters import BadAdapter
from worker.engine.requests import Completion, PromptTooLong
from worker.preferences.run import ROUNDS, PreferenceRunner, run


@pytest.fixture
def preference_job(job, tmp_path):
    prompts = [
        {"pair": 40 + n, "messages": [{"role": "user", "content": "Message " + "x" * n}]}
        for n in range(4)
    ]
    spec = {
        "candidate": job.spec["candidates"][1],
        "prompts": prompts,
        "made": 0,
        "max_new_tokens": 12,
        "temperature": 0.9,
        "seed": 3,
    }
    return Job("preferences", tmp_path / "preferences" / "1", spec)


@pytest.fixture
def asking(preference_job, recorder):
    """A runner whose prompts are answered by `say(prompt's id, number of the draw)`."""

    def ask(say):
        channel = recorder()
        runner = PreferenceRunner(preference_job.spec, channel)
        asked = []

        def answer_all() -> bool:
            for pair in runner.pending_pairs(runner.candidates):
                asked.append((pair[1].row, pair[1].index))
                said = say(*asked[-1])
                runner.handle_answer(pair, completion(said) if isinstance(said, str) else said)
            return False

        runner.ask_in_rounds(answer_all)
        return channel, asked

    return ask


def completion(text: str, finish_reason: str = "stop") -> Completion:
    return Completion(text, 3, finish_reason, 0.1)


def test_a_tiny_model_answers_every_prompt_twice_or_says_why_not(preference_job, recorder):
    """Real sampling; the weights are random, so its answers are mostly cut off."""
    channel = recorder()
    job = replace(preference_job, spec=preference_job.spec | {"max_new_tokens": 400})
    result = run(job, channel)
    answers, skipped = channel.of("answers"), channel.of("skipped")
    assert {one["pair"] for one in answers + skipped} == {40, 41, 42, 43}
    assert (len(answers), len(skipped)) == (result["answered"], result["skipped"])
    assert all(one["first"].strip() != one["second"].strip() for one in answers)
    last = channel.of("progress")[-1]
    assert (last["done"], last["total"], last["unit"]) == (4, 4, "prompts")
    assert result["stopped"] is False


def test_two_draws_of_one_prompt_have_different_seeds_and_a_repeated_run_has_the_same(
    preference_job, recorder
):
    def requests(spec):
        runner = PreferenceRunner(spec, recorder())
        runner.rows = runner._draws()
        return [runner._request(pair) for pair in runner.pending_pairs(runner.candidates)]

    spec = preference_job.spec
    first = requests(spec)
    assert len(first) == 8
    assert {one.temperature for one in first} == {0.9}
    assert len({(one.messages[-1]["content"], one.seed) for one in first}) == 8
    assert [one.seed for one in requests(spec)] == [one.seed for one in first]
    other = {one.seed for one in requests(spec | {"seed": 4})}
    assert not other & {one.seed for one in first}


def test_answers_are_reported_as_soon_as_both_are_there(asking):
    channel, asked = asking(lambda prompt, draw: f"answer {draw} to {prompt}")
    assert len(asked) == 8
    events = [one["event"] for one in channel.events if one["event"] in ("answers", "progress")]
    assert events == ["answers", "progress"] * 4
    first = channel.of("answers")[0]
    assert (first["first"], first["second"]) == ("answer 0 to 40", "answer 1 to 40")


def test_equal_and_empty_answers_are_drawn_again(asking):
    said = {40: ["yes", " YES\n", "no"], 41: ["", "  ", "one", "two"]}
    channel, asked = asking(lambda prompt, draw: said.get(prompt, ["a", "b"])[draw])
    found = {one["pair"]: (one["first"], one["second"]) for one in channel.of("answers")}
    assert found == {40: ("yes", "no"), 41: ("one", "two"), 42: ("a", "b"), 43: ("a", "b")}
    assert channel.of("skipped") == []
    assert len(asked) == 3 + 4 + 2 + 2


def test_a_prompt_with_the_same_answer_again_and_again_is_skipped(asking):
    channel, asked = asking(lambda prompt, draw: "the same" if prompt == 40 else f"{draw}")
    assert channel.of("skipped") == [{"event": "skipped", "pair": 40, "why": "same"}]
    assert len([one for one in asked if one[0] == 40]) == 2 + ROUNDS - 1
    assert channel.of("progress")[-1]["done"] == 4


def test_half_an_answer_counts_for_nothing(asking):
    cut_off = completion("It goes on and on", "length")
    channel, _asked = asking(lambda prompt, draw: cut_off if prompt == 41 else f"{draw}")
    assert channel.of("skipped") == [{"event": "skipped", "pair": 41, "why": "no_answer"}]


def test_a_prompt_that_is_too_long_is_skipped_once(asking):
    channel, asked = asking(
        lambda prompt, draw: PromptTooLong("too long") if prompt == 42 else f"{draw}"
    )
    assert channel.of("skipped") == [{"event": "skipped", "pair": 42, "why": "no_answer"}]
    assert len(asked) == 8


def test_a_broken_adapter_and_an_unknown_error_end_the_job(asking):
    with pytest.raises(UserError, match="broken"):
        asking(lambda prompt, draw: BadAdapter("broken"))
    with pytest.raises(RuntimeError):
        asking(lambda prompt, draw: RuntimeError("out of memory"))


def test_a_resumed_run_counts_what_was_made_before(preference_job, recorder):
    channel = recorder()
    spec = preference_job.spec | {"made": 3, "prompts": preference_job.spec["prompts"][:1]}
    run(replace(preference_job, spec=spec), channel)
    last = channel.of("progress")[-1]
    assert (last["done"], last["total"]) == (4, 4)


def test_stop_ends_it_and_skips_nothing(preference_job, recorder):
    class Stopped(recorder):
        def stopping(self) -> bool:
            return True

    channel = Stopped()
    assert run(preference_job, channel)["stopped"] is True
    assert channel.of("skipped") == []
