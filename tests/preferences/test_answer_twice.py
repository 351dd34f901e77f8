"""The job: killed, stopped and continued, no finished prompt is asked again."""

import pytest

from finetune_app.candidates import services as candidates
from finetune_app.core.files import sha256_of
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import State
from finetune_app.preferences import runs
from finetune_app.preferences.models import AnswerPair, PreferenceRun
from finetune_app.training.models import Training
from tests import fake_provider, journey
from tests.prompt_sheets.test_answer_prompts import requests_at_rest
from tests.providers.conftest import endpoint, platform  # noqa: F401
from tests.worker.conftest import supervise
from tests.worker.engine.tiny_models import make_adapter, make_base
from worker.channel import Job
from worker.preferences.run import run as answer_twice


class Channel:
    """Passes the events of a child to the job's handler, as a supervisor does.

    stop_after: prompts after which Stop is pressed. die_after: after which the child dies.
    """

    def __init__(self, run, stop_after: int | None = None, die_after: int | None = None) -> None:
        self.run, self.stop_after, self.die_after = run, stop_after, die_after
        self.answered: list[int] = []

    def emit(self, event: str, **fields) -> None:
        if event not in ("answers", "skipped"):
            return
        if self.die_after is not None and len(self.answered) >= self.die_after:
            raise KeyboardInterrupt  # nothing catches it, as nothing catches kill -9
        self.answered.append(fields["pair"])
        handler_for(self.run.job).record(self.run.job, {"event": event, **fields})

    def stopping(self) -> bool:
        return self.stop_after is not None and len(self.answered) >= self.stop_after

    def check(self) -> None:
        pass


def attempt(run: PreferenceRun, **fields) -> Channel:
    """One attempt of the job in this process, up to its result."""
    child = handler_for(run.job).child_spec(run.job)
    channel = Channel(run, **fields)
    result = answer_twice(Job("preferences", child.folder, child.spec), channel)
    journey.set_state(run.job, State.STOPPED if result["stopped"] else State.SUCCEEDED)
    return channel


@pytest.fixture
def remote(ready, owner, platform, endpoint) -> PreferenceRun:  # noqa: F811
    """A model elsewhere, which never says the same twice."""
    said = iter(range(1_000))
    platform.reply_to = lambda messages: f"{next(said)}"
    asked = candidates.prompt_candidate(goal=ready, instructions="", shots=[], endpoint=endpoint)
    return runs.start_run(goal=ready, candidate=asked, count=20, by=owner)


def test_a_model_elsewhere_answers_each_prompt_twice_by_sampling(remote, platform):  # noqa: F811
    attempt(remote)
    pairs = remote.answer_pairs.ready()
    assert pairs.count() == 20
    assert all(one.first and one.second and one.first != one.second for one in pairs)
    assert len(platform.requests) == 40
    assert {one["body"]["temperature"] for one in platform.requests} == {0.9}
    assert fake_provider.KEY not in f"{remote.job.spec}{remote.job.result}"


def test_a_killed_job_asks_no_finished_prompt_again(remote, platform):  # noqa: F811
    with pytest.raises(KeyboardInterrupt):
        attempt(remote, die_after=8)
    first = set(remote.answer_pairs.ready().values_list("pk", flat=True))
    assert len(first) == 8
    before = requests_at_rest(platform)
    channel = attempt(remote)
    assert len(channel.answered) == 12
    assert not first & set(channel.answered)
    assert remote.answer_pairs.ready().count() == 20
    assert len(platform.requests) - before == 24


def test_stop_keeps_the_answers_and_continue_asks_the_rest(remote, platform):  # noqa: F811
    stopped = attempt(remote, stop_after=5)
    assert 5 <= len(stopped.answered) < 20
    rest = attempt(remote)
    assert sorted(stopped.answered + rest.answered) == sorted(
        remote.answer_pairs.values_list("pk", flat=True)
    )


@pytest.mark.one_database
def test_a_tuned_model_of_this_machine_answers_in_a_child_process(
    transactional_db, goal, owner, data_dir, tmp_path
):
    """End to end: job, child process, engine, events, rows. The weights are random, so only
    what holds for any answer is checked."""
    training = journey.trained(journey.ready(goal, owner), owner)
    make_base(data_dir / training.base_model.folder, "llama")
    adapter = make_adapter(data_dir / training.base_model.folder, tmp_path / "adapter", 1)
    for file in adapter.iterdir():
        (data_dir / training.adapter_folder / file.name).write_bytes(file.read_bytes())
    weights = data_dir / training.adapter_folder / "adapter_model.safetensors"
    Training.objects.update(adapter_sha256=sha256_of(weights))
    training.refresh_from_db()
    tuned = candidates.tuned_candidate(training=training)
    run = runs.start_run(goal=goal, candidate=tuned, count=3, by=owner)
    job = supervise(run.job)
    assert job.state == State.SUCCEEDED, (job.message, job.detail)
    states = list(run.answer_pairs.values_list("state", flat=True))
    assert AnswerPair.State.WAITING not in states
    assert states.count(AnswerPair.State.READY) == job.result["answered"]
    assert (job.done, job.total) == (3, 3)
