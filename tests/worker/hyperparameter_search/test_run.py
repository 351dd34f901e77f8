"""Real searches on a tiny model: halving, continuing after a stop or a kill, and who wins."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from finetune_app.hyperparameter_search.successive_halving import RUNGS, Outcome
from tests.worker.training.conftest import (  # noqa: F401
    base_model,
    job,
    make_job,
    tokenizer,
    version,
    write_version,
)
from tests.worker.training.recording_channel import RecordingChannel
from tests.worker.training.test_killed_attempts import seen_by_the_kernel
from worker.channel import Job, LeaseLost, UserError
from worker.hyperparameter_search import run as search
from worker.training import checkpoints
from worker.training.killed_attempts import NOTE

TRIALS = [
    {},
    {"learning_rate": 5e-2},
    {"learning_rate": 1e-3},
    {"rank": 8},
    {"batch_size": 4},
    {"learning_rate": 5e-3},
]


class Channel(RecordingChannel):
    """Stops, or loses the lease, once so many trials have been told."""

    def stopping(self) -> bool:
        return self.stop_after is not None and len(self.of("trial")) >= self.stop_after

    def check(self) -> None:
        if self.lose_after is not None and len(self.of("trial")) >= self.lose_after:
            raise LeaseLost


@pytest.fixture
def searching(job):  # noqa: F811
    def make(folder: str = "search", **settings) -> Job:
        training = job(folder=folder, validation_prompts=6, **settings)
        spec = {"training": dict(training.spec), "trials": TRIALS}
        return Job("search", training.folder, spec)

    return make


@dataclass(frozen=True)
class Searched:
    """A search that ran to its end, and what it told."""

    folder: Path
    channel: Channel
    result: dict


@pytest.fixture(scope="module")
def searched(tmp_path_factory, base_model) -> Searched:  # noqa: F811
    folder = tmp_path_factory.mktemp("searched")
    rows = write_version(folder / "version.jsonl")
    training = make_job(folder / "search", base_model(), rows, epochs=3, validation_prompts=6)
    spec, channel = {"training": dict(training.spec), "trials": TRIALS}, Channel()
    result = search.run(Job("search", training.folder, spec), channel)
    return Searched(training.folder, channel, result)


def told(channel) -> list[tuple[int, int]]:
    return [(one["rung"], one["trial"]) for one in channel.of("trial")]


def test_six_begin_three_go_on_two_end_and_the_automatic_one_is_among_them(searched):
    channel, found = searched.channel, searched.result
    rungs = [[trial for rung, trial in told(channel) if rung == n] for n in range(len(RUNGS))]
    assert [len(one) for one in rungs] == [6, 3, 2]
    assert all(0 in one for one in rungs)
    assert set(rungs[2]) <= set(rungs[1])
    assert found["winner"] in rungs[2]
    assert not list((searched.folder / "trials").iterdir())  # checkpoints of no further use
    progress = channel.of("progress")[-1]
    assert progress["done"] <= progress["total"]


def test_a_trial_goes_on_and_does_not_begin_again(searched):
    steps = [one["step"] for one in searched.channel.of("trial") if one["trial"] == 0]
    assert steps == [round(share * 15) for share in (1 / 6, 1 / 3, 1 / 2)]  # of 3 x 5 steps


def test_a_trial_is_the_beginning_of_the_training_with_its_settings(searched, job):  # noqa: F811
    """At the same step, the search and a whole training have the same loss."""
    from worker.training import run as train

    whole = RecordingChannel()
    train(job(folder="whole", epochs=3, validation_prompts=6), whole)
    points = {p["step"]: p["validation_loss"] for p in whole.of("point")}
    measured = [
        (one["loss"], points[one["step"]])
        for one in searched.channel.of("trial")
        if one["trial"] == 0 and points[one["step"]] is not None
    ]
    assert measured
    assert all(ours == pytest.approx(theirs, abs=1e-5) for ours, theirs in measured)


@pytest.mark.long
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_goes_on_after_the_trials_that_are_done(searched, searching, end):
    work = searching("ended", epochs=3)
    if end == "stop":
        assert search.run(work, Channel(stop_after=4)) == {"winner": None, "stopped": True}
    else:
        with pytest.raises(LeaseLost):
            search.run(work, Channel(lose_after=4))
    again = Channel()
    found = search.run(work, again)
    assert found["winner"] == searched.result["winner"]
    losses = [(o["rung"], o["trial"], o["loss"]) for o in searched.channel.of("trial")]
    assert [(o["rung"], o["trial"], o["loss"]) for o in again.of("trial")] == losses
    phases = [p["message"] for p in again.of("phase")]
    assert phases[0].startswith("Trial 5 of 6")  # four are not done again


def test_a_damaged_file_of_outcomes_begins_again(searching):
    work = searching(epochs=1)
    (work.folder / "outcomes.json").write_text("{")
    assert search.run(work, Channel())["stopped"] is False
    assert json.loads((work.folder / "outcomes.json").read_text())["reached"]


NO_MEMORY = UserError("out_of_memory", "The memory was full.")
NO_MEMORY_ON_THE_CARD = torch.OutOfMemoryError("CUDA out of memory.")


def test_a_trial_that_becomes_unstable_loses_and_the_others_go_on(searching):
    work = searching(epochs=1)
    work.spec["trials"] = [{}, {"learning_rate": 1e30}, {"rank": 8}]
    channel = Channel()
    found = search.run(work, channel)
    assert told(channel) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 2)]
    lost = channel.of("trial")[1]
    assert (lost["score"], lost["loss"], lost["prompts"]) == (None, None, 0)
    assert found["winner"] in (0, 2)


@pytest.mark.parametrize("error", [NO_MEMORY, NO_MEMORY_ON_THE_CARD])
def test_so_does_one_that_has_no_room_in_memory(searching, monkeypatch, error):
    refuse(monkeypatch, 8, error)
    work = searching(epochs=1)
    work.spec["trials"] = [{}, {"rank": 8}]
    channel = Channel()
    assert search.run(work, channel)["winner"] == 0
    assert told(channel) == [(0, 0), (0, 1), (1, 0), (2, 0)]
    assert "memory" in channel.of("log")[-1]["text"]


@pytest.mark.parametrize(
    ("rank", "error"),
    [(4, NO_MEMORY), (8, UserError("no_disk", "Make room."))],
)
def test_what_would_end_each_of_them_ends_the_search(searching, monkeypatch, rank, error):
    refuse(monkeypatch, rank, error)
    work = searching(epochs=1, rank=4)
    work.spec["trials"] = [{}, {"rank": 8}]
    with pytest.raises(UserError) as raised:
        search.run(work, Channel())
    assert raised.value is error


def refuse(monkeypatch, rank: int, error: Exception) -> None:
    """A trial of this rank cannot be prepared."""
    prepare = search.prepare

    def prepared(spec, *others):
        if spec.rank == rank:
            raise error
        return prepare(spec, *others)

    monkeypatch.setattr(search, "prepare", prepared)


def test_after_a_kill_for_its_memory_it_goes_on_in_smaller_parts(searching, monkeypatch):
    work = searching(epochs=1)
    folder = work.folder / "trials" / "0"
    notes, budgets, update = [], [], search.update

    def killed(training, state):
        notes.append((folder / NOTE).read_text())
        raise LeaseLost

    monkeypatch.setattr(search, "update", killed)
    with pytest.raises(LeaseLost):
        search.run(work, Channel())
    (folder / NOTE).write_text(notes[0])
    before = seen_by_the_kernel(folder)["token_budget"]

    def watched(training, state):
        budgets.append(state.token_budget)
        return update(training, state)

    monkeypatch.setattr(search, "update", watched)
    assert search.run(work, Channel())["stopped"] is False
    assert budgets[0] <= before // 2


def test_a_full_disk_is_said(searching, monkeypatch):
    class Usage:
        free = 10**6

    monkeypatch.setattr("worker.training.checkpoints.shutil.disk_usage", lambda path: Usage)
    with pytest.raises(checkpoints.UserError, match="Make room"):
        search.run(searching(), Channel())


def test_outcomes_are_those_of_one_rung(tmp_path):
    reached = [
        {"trial": 0, "rung": 0, "score": 0.1, "loss": 2.0, "prompts": 6},
        {"trial": 0, "rung": 1, "score": 0.5, "loss": 1.0, "prompts": 6},
    ]
    found = search.Search(tmp_path, Channel(), {}, [{}], reached).outcomes(1)
    assert found == {0: Outcome(0.5, 1.0, 6)}
